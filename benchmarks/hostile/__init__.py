"""Hostile requests, and how the service answers them."""
