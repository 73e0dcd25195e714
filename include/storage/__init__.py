"""Files and buckets by exact names: listing, copying, moving, removing."""

LOCATIONS = ("landing", "work", "reports", "archive")
"""The areas of the importer's files; each has a Variable `<name>_url`, and `<NAME>_URL` for the command line."""
