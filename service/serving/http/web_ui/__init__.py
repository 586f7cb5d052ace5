"""The page `/`."""
