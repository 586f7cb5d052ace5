"""The report of a training run: one HTML file that opens offline, and its figures for machines."""
