"""Files of texts through a classifier: read, scored and written at once, and safe to kill."""
