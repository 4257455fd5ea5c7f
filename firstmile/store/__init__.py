"""SQL: the schema, its migrations, and one module per thing stored.

Every write is idempotent or conditional; SQLite and PostgreSQL behave alike.
"""
