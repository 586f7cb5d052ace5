"""Fixtures: services with several models in a thread, and services as processes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from gatewise.service.model.classifier import Classifier
from gatewise.service.serving.app import Application
from gatewise.service.serving.http.app_context import AppContext
from gatewise.service.serving.model_sources import ModelSource
from gatewise.service.serving.settings import Settings

Start = Callable[..., "Service"]


class Service:
    """A running `gatewise serve`.

    Attributes:
        process: The process.
        url: Its address.
        client: A client of it.
    """

    def __init__(self, arguments: list[str], settings: dict[str, object], stack: ExitStack) -> None:
        environment = {f"GATEWISE_{name.upper()}": str(value) for name, value in settings.items()}
        self.process = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-m", "gatewise", "serve", "--port", "0", *arguments],
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, **environment},
            )
        )
        stack.callback(self.process.kill)
        line = self.next_line()
        while " at http" not in line:
            assert line, "the service did not start"
            line = self.next_line()
        self.url = line.partition(" at ")[2].partition(",")[0]
        self.client = stack.enter_context(
            httpx.Client(base_url=self.url, timeout=30, trust_env=False)
        )

    def next_line(self) -> str:
        """The next line of its log."""
        assert self.process.stderr is not None
        return self.process.stderr.readline()

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def stop(self) -> tuple[int, str]:
        """Stops it; returns its exit code and the rest of its log."""
        self.process.terminate()
        _, rest = self.process.communicate(timeout=30)
        return self.process.returncode, rest


@contextmanager
def starting(model_folder: Path) -> Iterator[Start]:
    """Starts services with settings; they stop when the context ends."""
    with ExitStack() as stack:

        def start_one(*arguments: object, **settings: object) -> Service:
            models = [str(each) for each in arguments] or [str(model_folder)]
            return Service(models, settings, stack)

        yield start_one


@pytest.fixture
def start(model_folder: Path) -> Iterator[Start]:
    """Starts services with settings; they stop after the test."""
    with starting(model_folder) as start_one:
        yield start_one


@pytest.fixture(scope="module")
def start_shared(model_folder: Path) -> Iterator[Start]:
    """Starts services with settings; they stop after the module."""
    with starting(model_folder) as start_one:
        yield start_one


ServeModels = Callable[..., httpx.Client]


@pytest.fixture(scope="module")
def serve_models(serve_app: Callable[[Any], httpx.Client]) -> ServeModels:
    """Serves models by their names, with an API key if there is one."""

    def serve(
        models: Mapping[str, Classifier], *, key: str = "", settings: Settings | None = None
    ) -> httpx.Client:
        sources = [ModelSource(name, one.artifact.folder.path) for name, one in models.items()]
        app = Application(AppContext.create(settings or Settings(), sources, models))
        return serve_app(locked(app, key) if key else app)

    return serve


def locked(app: FastAPI, key: str) -> Callable[..., Any]:
    """An application that answers 401 below /models without a key."""
    header = (b"authorization", f"Bearer {key}".encode())

    async def locked_app(scope: Any, receive: Any, send: Any) -> None:
        path = scope.get("path", "")
        if not path.startswith("/models") or header in scope["headers"]:
            await app(scope, receive, send)
            return
        answer = json.dumps({"type": "urn:gatewise:problem:unauthorized", "detail": "no key"})
        content_type = (b"content-type", b"application/problem+json")
        await send({"type": "http.response.start", "status": 401, "headers": [content_type]})
        await send({"type": "http.response.body", "body": answer.encode()})

    return locked_app


MakeApp = Callable[..., FastAPI]


@pytest.fixture(scope="session")
def make_app(classifier: Classifier, multi_label_folder: Path, rejecting_folder: Path) -> MakeApp:
    """Makes an application with the models `languages`, `colours` and `rejecting`.

    Each has the versions 1 and 2; the models in `loading` have none yet.
    """
    folders = {"colours": multi_label_folder, "rejecting": rejecting_folder}
    classifiers = {"languages": classifier} | {
        name: Classifier.load(folder) for name, folder in folders.items()
    }

    def make(settings: Settings | None = None, loading: Sequence[str] = ()) -> FastAPI:
        sources = [ModelSource(name, one.artifact.folder.path) for name, one in classifiers.items()]
        missing = [ModelSource(name, Path("/nothing/is/here")) for name in loading]
        context = AppContext.create(settings or Settings(), sources + missing, classifiers)
        for name, one in classifiers.items():
            context.models.add(name, "2", one)
        return Application(context)

    return make
