"""Every effect on the world, one module per kind of step.

Temporal matters here (retries, heartbeats, error classes, idempotency key), the work itself in `firstmile`.
"""
