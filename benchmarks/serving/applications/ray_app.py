"""Ray Serve, as its guide to dynamic request batching has it.

    MODEL=FOLDER python ray_app.py PORT

Ray keeps the processes of a cluster; this one waits for a signal to stop.
"""

import os
import signal
import sys

import ray
from ray import serve
from starlette.requests import Request

from benchmarks.serving.applications.model import LabelScore, Model


@serve.deployment(max_ongoing_requests=1024)
class Classifier:
    """Classifies texts."""

    def __init__(self, folder: str) -> None:
        self._model = Model(folder)

    @serve.batch(max_batch_size=64, batch_wait_timeout_s=0.001)  # type: ignore[untyped-decorator]
    async def answers(self, texts: list[str]) -> list[list[LabelScore]]:
        """Each text's labels, best first."""
        return self._model.answers(texts)

    async def __call__(self, request: Request) -> list[list[LabelScore]]:
        """Answers one text."""
        body = await request.json()
        return [await self.answers(body["inputs"])]


if __name__ == "__main__":
    path = {"PYTHONPATH": os.environ["PYTHONPATH"]}
    ray.init(include_dashboard=False, runtime_env={"env_vars": path})
    serve.start(http_options={"port": int(sys.argv[1])})
    bound = Classifier.bind(os.environ["MODEL"])  # type: ignore[attr-defined]  # a deployment
    serve.run(bound, route_prefix="/predict")
    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    signal.sigwait(signals)
    serve.shutdown()
    ray.shutdown()
