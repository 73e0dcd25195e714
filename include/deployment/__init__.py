"""What a deployment needs before Airflow starts: roles, databases, buckets, the login file."""
