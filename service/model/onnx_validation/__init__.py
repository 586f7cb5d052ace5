"""The networks of a model folder, read from their bytes before any runtime is told of them."""
