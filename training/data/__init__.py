"""From corpora on disk to encoded examples on disk: reading, splitting, copies, encoding."""
