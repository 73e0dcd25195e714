"""The history of imports: jobs, their stages, reviews and outcomes, and the staged rows."""
