"""The local stack: PostgreSQL and Airflow as ordinary processes in one folder, without containers."""
