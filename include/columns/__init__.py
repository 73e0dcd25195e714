"""Which column of a file is which field, and what changed since the folder's last file."""
