"""Fixtures of the serving tests: applications with several models, and services as processes."""

import os
import shutil
import subprocess
import sys
import threading
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from gatewise.service.model.classifier import Classifier
from gatewise.service.serving import batching
from gatewise.service.serving.app import Application
from gatewise.service.serving.http.app_context import AppContext
from gatewise.service.serving.http.auth import api_keys
from gatewise.service.serving.http.auth.api_keys import Role, make_key
from gatewise.service.serving.model_sources import ModelSource
from gatewise.service.serving.settings import Settings

Blocked = namedtuple("Blocked", ["running", "resume"])
Keys = namedtuple("Keys", ["file", "predict", "admin"])


@pytest.fixture(scope="session")
def anyio_backend():
    """What runs the tests that are coroutines."""
    return "asyncio"


@pytest.fixture(scope="session")
def keys(tmp_path_factory):
    """A file of keys, and the headers with a key of each role."""
    file = tmp_path_factory.mktemp("keys") / "keys.jsonl"
    headers = []
    for role in (Role.PREDICT, Role.ADMIN):
        key, entry = make_key(role.value, role)
        api_keys.add(file, entry)
        headers.append({"Authorization": f"Bearer {key}"})
    return Keys(file, *headers)


@pytest.fixture(scope="session")
def models(classifier, multi_label_folder, rejecting_folder):
    """A model of each kind, by its name."""
    return {
        "languages": classifier,
        "colours": Classifier.load(multi_label_folder),
        "rejecting": Classifier.load(rejecting_folder),
    }


@pytest.fixture(scope="session")
def make_app(models):
    """Makes an application with the versions 1 and 2 of each model; None is never loaded."""

    def make(models=models, **settings):
        nowhere = Path("/nothing/is/here")
        sources = [
            ModelSource(name, one.artifact.folder.path if one else nowhere)
            for name, one in models.items()
        ]
        loaded = {name: one for name, one in models.items() if one}
        context = AppContext.create(Settings(**settings), sources, loaded)
        for name, one in loaded.items():
            context.models.add(name, "2", one)
        return Application(context)

    return make


@pytest.fixture
def blocked(monkeypatch):
    """Blocks batches: each sets the event `running`, and waits for `resume`."""
    blocked = Blocked(threading.Event(), threading.Event())
    compute = batching.compute

    def wait_and_compute(*arguments):
        blocked.running.set()
        assert blocked.resume.wait(30)
        return compute(*arguments)

    monkeypatch.setattr(batching, "compute", wait_and_compute)
    yield blocked
    blocked.resume.set()


class Service:
    """A running `gatewise serve`.

    Attributes:
        process: The process.
        url: Its address.
        client: A client of it.
    """

    def __init__(self, arguments, settings, stack):
        environment = {f"GATEWISE_{name.upper()}": str(value) for name, value in settings.items()}
        command = [sys.executable, "-m", "gatewise", "serve", "--port", "0", *map(str, arguments)]
        self.process = stack.enter_context(
            subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, **environment},
            )
        )
        stack.callback(self.process.kill)
        self.first_line = self.next_line()
        assert " at http" in self.first_line
        self.url = self.first_line.partition(" at ")[2].partition(",")[0]
        self.port = int(self.url.rpartition(":")[2])
        self.client = stack.enter_context(
            httpx.Client(base_url=self.url, timeout=30, trust_env=False)
        )

    def next_line(self):
        """The next line of its log."""
        return self.process.stderr.readline()

    def stop(self):
        """Stops it; returns its exit code, its output and the rest of its log."""
        self.process.terminate()
        output, rest = self.process.communicate(timeout=30)
        return self.process.returncode, output, rest


@pytest.fixture
def start():
    """Starts services with settings; they stop after the test."""
    with ExitStack() as stack:
        yield lambda *arguments, **settings: Service(arguments, settings, stack)


@pytest.fixture(scope="session")
def load():
    """Sends requests from four threads until the end; yields the statuses and versions."""

    @contextmanager
    def sending(client):
        answers, over = [], threading.Event()

        def send():
            while not over.is_set():
                answer = client.post("/predict", json={"inputs": "where is the station"})
                answers.append((answer.status_code, answer.headers.get("gatewise-version", "")))

        with ThreadPoolExecutor(4) as pool:
            threads = [pool.submit(send) for _ in range(4)]
            try:
                yield answers
            finally:
                over.set()
            for thread in threads:
                thread.result()

    return sending


@pytest.fixture
def versions(model_folder, tmp_path):
    """A folder with version 1 of the model `m`."""
    shutil.copytree(model_folder, tmp_path / "m" / "1")
    return tmp_path / "m"


@pytest.fixture(scope="session")
def put():
    """Copies a model folder as `gatewise train` writes one: it appears complete."""

    def copy(model_folder, folder):
        unfinished = folder.with_name(f".{folder.name}")
        shutil.copytree(model_folder, unfinished)
        unfinished.rename(folder)

    return copy
