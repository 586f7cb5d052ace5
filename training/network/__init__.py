"""The network in Keras: what stands for a token, recurrent layers, read-out, n-gram path."""
