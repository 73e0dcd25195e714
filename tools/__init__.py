"""What developers use and no image has: the local stack, scaffolds, checks."""
