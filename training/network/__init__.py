"""The network in Keras: embedding, recurrent layers, pooling and the n-gram path."""
