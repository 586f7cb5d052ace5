"""How often Gatewise is right, beside other classifiers."""
