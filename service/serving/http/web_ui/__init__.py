"""The web UI: the page `/` and the page `/docs`."""
