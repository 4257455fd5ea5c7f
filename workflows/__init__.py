"""The durable shell: one customer, one workflow execution.

Deterministic: imports Temporal, `firstmile.journey`, `firstmile.contracts` and the activities' signatures,
nothing else.
"""
