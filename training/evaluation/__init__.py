"""How good and how fast a finished model is, asked as it will serve."""
