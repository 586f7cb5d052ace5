"""The report of a training run as HTML and JSON, and the model card."""
