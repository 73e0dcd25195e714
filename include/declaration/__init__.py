"""What an import type declares: its fields, its settings, how its rows load."""
