"""How good small models are, for their size."""
