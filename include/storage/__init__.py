"""Files and buckets by exact names: listing, copying, moving, removing."""
