"""Developing journeys and templates: the demo's stack without customers; what is saved is in force at once.

Rules of the room: nothing is restarted that need not be. A journey is published as a new version; only what
keeps templates in memory starts again when a template changes.
"""
