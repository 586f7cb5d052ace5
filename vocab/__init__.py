"""Corpora and tokenizers: files to rows, texts to token ids."""
