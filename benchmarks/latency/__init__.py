"""How long one text takes, in Gatewise, Keras, PyTorch and JavaScript."""
