"""Questions that were asked once, with their answers and dates in README.md."""
