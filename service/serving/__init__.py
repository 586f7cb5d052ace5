"""The HTTP service: batching, model registry, settings, application, server."""
