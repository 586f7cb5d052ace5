"""The commands, one module each: its arguments, and which room does the work."""
