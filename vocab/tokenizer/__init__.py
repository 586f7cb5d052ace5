"""Text to ids: pre-tokenization, training the tokenizer, encoding."""
