"""The Open Inference Protocol, version 2, below `/v2`."""
