"""Models for phones and browsers."""
