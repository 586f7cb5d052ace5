"""The routes of Gatewise's own HTTP API."""
