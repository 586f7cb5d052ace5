"""From corpora to token ids and targets on disk: reading, splitting, duplicates, encoding."""
