"""Firstmile: from sign-up to onboarded, one durable workflow per customer.

Importing this package imports nothing else: the command line and the engine stay light.
"""
