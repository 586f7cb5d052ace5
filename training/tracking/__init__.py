"""Runs logged to TensorBoard and MLflow."""
