"""How fast Gatewise trains, and in how much memory."""
