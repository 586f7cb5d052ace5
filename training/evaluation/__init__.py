"""Evaluation of a trained model by the classifier that serves it: quality, calibration, speed."""
