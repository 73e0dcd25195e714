"""The stages of an import: inspection, validation, loading and reporting."""
