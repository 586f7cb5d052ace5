"""What the peers run, in environments of their own; nothing of Gatewise is imported."""
