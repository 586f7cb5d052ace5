"""`WS /stream`: scores after each token of a text that arrives in pieces."""
