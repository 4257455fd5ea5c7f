"""HTTP: the API, webhooks, customers' pages and the operators' console.

Whatever it does to a customer goes through `firstmile.service`. A GET records nothing.
"""
