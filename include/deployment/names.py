"""Names that every way to deploy shares."""

ADMIN = "admin"
"""The user of Airflow's simple auth manager."""
