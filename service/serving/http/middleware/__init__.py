"""ASGI middleware: request id, access log, headers, concurrency limit, tracing."""
