"""The pure engine: journeys as data, and what happens next as a function of what happened.

No I/O, no clock, no randomness, nothing of Temporal and nothing else of the project: callers pass it all in.
"""
