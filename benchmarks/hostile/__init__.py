"""Requests that nobody should send, and how the service answers them."""
