"""How fast files are scored, in how much memory, and whether a killed run resumes."""
