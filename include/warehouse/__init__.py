"""The database: schema and migrations, roles and rights, transactions, the embedded server."""
