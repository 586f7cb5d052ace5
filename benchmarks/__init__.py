"""Measurements of Gatewise beside other libraries and servers; see README.md."""
