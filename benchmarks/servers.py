"""The servers that are compared: how each is started, asked and understood.

Every one serves the same ONNX file and tokenizer in one process that answers, with one thread of
onnxruntime, the way its own documentation tells. Knows nothing of what is measured.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import bodies
from bodies import Shape
from process import FOLDER, FailedError
from server_process import Running, free_port, running

APPLICATIONS = FOLDER / "serving"
"""Where the applications of the peers are."""

GATEWISE, ECHO, CONSTANT = "Gatewise", "FastAPI echo", "constant bytes"
BENTOML, RAY, MLSERVER = "BentoML", "Ray Serve", "MLServer"


@dataclass(frozen=True)
class Server:
    """A server.

    Attributes:
        name: What the table calls it.
        command: What starts it, given a port and a folder for what it needs.
        ready: The path that answers 200 once it is ready.
        path: The path that is asked.
        shape: What is sent there, and what is answered.
        classifies: Whether its answers are to be those of the model.
        environment: Variables that it has.
    """

    name: str
    command: Callable[[int, Path], Sequence[str | Path]]
    ready: str
    path: str
    shape: Shape
    classifies: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)

    def request(self, port: int, text: str, headers: Sequence[str] = ()) -> bytes:
        """The whole request that asks for a text."""
        return bodies.request(port, self.path, self.shape.body(text), headers)

    @contextmanager
    def started(self) -> Iterator[Running]:
        """The server, for as long as it is used.

        Raises:
            FailedError: If it does not start.
        """
        with TemporaryDirectory() as scratch:

            def command(port: int) -> Sequence[str | Path]:
                return self.command(port, Path(scratch))

            with running(command, self.ready, self.environment) as server:
                yield server


def gatewise(model: Path, settings: Mapping[str, str] | None = None) -> Server:
    """This checkout's own service.

    Args:
        model: The model folder.
        settings: `GATEWISE_*` variables.
    """
    return Server(
        GATEWISE,
        lambda port, _: [sys.executable, "-m", "gatewise", "serve", model, "--port", str(port)],
        ready="/health/ready",
        path="/predict",
        shape=bodies.HUGGING_FACE,
        environment={"PYTHONPATH": _path(FOLDER.parent), **(settings or {})},
    )


def gatewise_on_ray(model: Path, replicas: int, *, haproxy: bool = False) -> Server:
    """This checkout's own service on a Ray cluster, which is started for it.

    Args:
        model: The model folder.
        replicas: How many replicas there are.
        haproxy: Whether Ray has HAProxy stand before them instead of its own proxy.
    """
    number = f"{replicas} replica{'s' if replicas > 1 else ''}"
    proxy = {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        # Else it stops half a minute later.
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
    }
    alone = gatewise(model, proxy if haproxy else None)
    return replace(
        alone,
        name=f"{GATEWISE} on Ray, {number}{', HAProxy' if haproxy else ''}",
        command=lambda port, scratch: [
            *(*alone.command(port, scratch), "--engine", "ray"),
            *("--replicas", str(replicas)),
        ],
    )


def settings(assignments: Sequence[str]) -> dict[str, str]:
    """Settings of the service as the variables that it reads.

    >>> settings(["workers=2"])
    {'GATEWISE_WORKERS': '2'}

    Raises:
        FailedError: If one is no NAME=VALUE.
    """
    found = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise FailedError(f"expected NAME=VALUE, received {assignment!r}")
        found[f"GATEWISE_{name.upper()}"] = value
    return found


def new_key(file: Path) -> str:
    """An API key that may swap models, its hash added to a file of keys.

    Raises:
        FailedError: If none could be made.
    """
    command = [sys.executable, "-m", "gatewise", "key", "benchmark", "--role", "admin"]
    environment = {**os.environ, "PYTHONPATH": _path(FOLDER.parent)}
    made = subprocess.run(
        [*command, "--file", str(file)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if made.returncode:
        raise FailedError(f"gatewise key: {made.stderr.strip()}")
    return made.stdout.split()[-1]


def echo() -> Server:
    """An endpoint of the same stack that echoes the body."""
    return Server(
        ECHO,
        lambda port, _: [sys.executable, APPLICATIONS / "echo.py", str(port)],
        ready="/health/ready",
        path="/predict",
        shape=bodies.HUGGING_FACE,
        classifies=False,
    )


def constant() -> Server:
    """The same few bytes for every request: what the load generator can ask for at most."""
    return Server(
        CONSTANT,
        lambda port, _: [sys.executable, APPLICATIONS / "constant.py", str(port)],
        ready="/",
        path="/",
        shape=bodies.HUGGING_FACE,
        classifies=False,
    )


def bentoml(model: Path, python: Path) -> Server:
    """BentoML with its adaptive batching; `python` is that of its environment."""

    def command(port: int, _: Path) -> list[str | Path]:
        start: list[str | Path] = [_beside(python, "bentoml"), "serve", "bento_app:Classifier"]
        return [*start, "--working-dir", APPLICATIONS, "--host", "127.0.0.1", "--port", str(port)]

    return Server(
        BENTOML,
        command,
        ready="/readyz",
        path="/predict",
        shape=bodies.LISTED,
        environment=_environment(model, BENTOML_DO_NOT_TRACK="True"),
    )


def ray_serve(model: Path, python: Path) -> Server:
    """Ray Serve with its dynamic request batching; `python` is that of its environment."""
    return Server(
        RAY,
        lambda port, _: [_there(python), APPLICATIONS / "ray_app.py", str(port)],
        ready="/-/healthz",
        path="/predict",
        shape=bodies.HUGGING_FACE,
        environment=_environment(model, RAY_USAGE_STATS_ENABLED="0"),
    )


def mlserver(model: Path, python: Path) -> Server:
    """MLServer with a custom runtime and adaptive batching; `python` is its environment's."""

    def command(port: int, scratch: Path) -> list[str | Path]:
        settings = {
            "host": "127.0.0.1",
            "http_port": port,
            "grpc_port": free_port(),
            "metrics_port": free_port(),
            "parallel_workers": 0,
        }
        runtime = {
            "name": "classifier",
            "implementation": "mlserver_app.Classifier",
            "max_batch_size": 64,
            "max_batch_time": 0.001,
        }
        for name, document in (("settings", settings), ("model-settings", runtime)):
            (scratch / f"{name}.json").write_text(json.dumps(document), encoding="utf-8")
        return [_beside(python, "mlserver"), "start", scratch]

    return Server(
        MLSERVER,
        command,
        ready="/v2/health/ready",
        path="/v2/models/classifier/infer",
        shape=bodies.V2,
        environment=_environment(model),
    )


def _environment(model: Path, **more: str) -> dict[str, str]:
    return {"MODEL": str(model.resolve()), "PYTHONPATH": str(APPLICATIONS), **more}


def _path(first: Path) -> str:
    return os.pathsep.join([str(first), *filter(None, [os.environ.get("PYTHONPATH")])])


def _there(python: Path) -> Path:
    # Not resolved: the link is how an interpreter knows which environment it belongs to.
    if not python.is_file():
        raise FailedError(f"expected the Python of an environment at {python}: nothing is there")
    return python.absolute()


def _beside(python: Path, name: str) -> Path:
    return _there(python).parent / name
