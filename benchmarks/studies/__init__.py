"""One-off studies: README.md has their questions, answers and dates."""
