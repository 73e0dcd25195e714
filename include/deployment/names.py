"""Names that every way to deploy shares."""

LOCATIONS = ("landing", "work", "reports", "archive")
"""Each has a Variable `<name>_url`: the areas of the importer's files."""
ADMIN = "admin"
"""The user of Airflow's simple auth manager."""
