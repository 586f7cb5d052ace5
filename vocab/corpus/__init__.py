"""Corpus files to rows: formats, sources, labels, bad-row policy."""
