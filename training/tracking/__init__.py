"""Runs told to TensorBoard and to MLflow."""
