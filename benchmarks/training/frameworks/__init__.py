"""The same small network in Gatewise, Keras and PyTorch."""
