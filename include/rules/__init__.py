"""The suites and the expectation classes that judge rows, and the sentences that they give."""
