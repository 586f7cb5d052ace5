"""Whether every runtime gives the answers of Gatewise in Python."""
