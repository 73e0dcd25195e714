"""The questions before a load: previews, forms, and what an answer means."""
