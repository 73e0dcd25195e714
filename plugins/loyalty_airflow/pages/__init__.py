"""Pages of the importer inside Airflow: what was imported, the pools, a form to drop files. Rendered on the server."""
