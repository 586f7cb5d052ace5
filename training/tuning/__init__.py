"""The search for settings: a space, its trials, and the folder that they are kept in."""
