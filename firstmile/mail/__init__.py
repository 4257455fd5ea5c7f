"""Messages: rendering, the ledger that keeps them from going out twice, transports, providers' webhooks.

Each provider library is imported in one module only.
"""
