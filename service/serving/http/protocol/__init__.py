"""Connections, bodies, limits and error documents of the HTTP service."""
