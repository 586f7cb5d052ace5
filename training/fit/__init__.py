"""Fitting: updates, epochs, validation, the learning rate and checkpoints."""
