"""The model folder and the classifier: shared by training, scoring and serving."""
