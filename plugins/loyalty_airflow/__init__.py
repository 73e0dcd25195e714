"""What the project adds to Airflow: tasks, triggers, pages, mails, metrics."""

PAGES = "/imports"
"""Where Airflow mounts the importer's pages, below its own root."""
