r"""Benchmarks: whole imports beside psql's `\copy`, as ratios from one run."""
