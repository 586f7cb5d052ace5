"""Updates, epochs, validation, the learning rate, and checkpoints."""
