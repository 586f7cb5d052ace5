"""Texts to token ids: pre-tokenization, training, encoding, incremental tokenization."""
