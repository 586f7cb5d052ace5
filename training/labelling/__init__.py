"""Better labels: the audit of a corpus, and the choice of texts to label next."""
