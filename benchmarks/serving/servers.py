"""The servers that are compared: how each is started, and the format of its requests and answers.

Every one serves the same ONNX file and tokenizer in one process that answers, with one thread of
onnxruntime, the way its own documentation shows.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.lib import request_formats
from benchmarks.lib.command import BenchmarkError
from benchmarks.lib.request_formats import RequestFormat
from benchmarks.lib.server_process import RunningServer, free_port, running
from benchmarks.lib.subprocesses import environment, gatewise_command

APPLICATIONS = Path(__file__).parent / "applications"
"""What the peers run, in environments of their own without Gatewise."""

GATEWISE, ECHO, CONSTANT = "Gatewise", "FastAPI echo", "constant bytes"
BENTOML, RAY, MLSERVER = "BentoML", "Ray Serve", "MLServer"


@dataclass(frozen=True)
class Server:
    """A server that can be started."""

    name: str
    command: Callable[[int, Path], Sequence[str | Path]]  # given a port and an empty folder
    ready: str  # the path that answers 200 once it is ready
    path: str  # the path that classifies
    format: RequestFormat
    classifies: bool = True  # whether its answers are to be those of the model
    variables: Mapping[str, str] = field(default_factory=dict)  # of its environment

    def request(self, port: int, text: str, headers: Sequence[str] = ()) -> bytes:
        """The complete request for a text."""
        return request_formats.post(port, self.path, self.format.body(text), headers)

    @contextmanager
    def started(self) -> Iterator[RunningServer]:
        """The server, until the block ends."""
        with TemporaryDirectory() as scratch:

            def command(port: int) -> Sequence[str | Path]:
                return self.command(port, Path(scratch))

            with running(command, self.ready, environment(**self.variables)) as server:
                yield server


def gatewise(model: Path, variables: Mapping[str, str] | None = None) -> Server:
    """This checkout's own service, with `GATEWISE_*` variables."""
    return Server(
        GATEWISE,
        lambda port, _: gatewise_command("serve", model, "--port", port),
        ready="/health/ready",
        path="/predict",
        format=request_formats.HUGGING_FACE,
        variables=variables or {},
    )


def gatewise_on_ray(model: Path, replicas: int, *, haproxy: bool = False) -> Server:
    """This checkout's own service on a Ray cluster, which is started for it.

    With `haproxy`, HAProxy stands before the replicas instead of Ray's own proxy.
    """
    count = f"{replicas} replica{'s' if replicas > 1 else ''}"
    proxy = {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        # Else it stops half a minute later.
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
    }
    alone = gatewise(model, proxy if haproxy else None)
    return replace(
        alone,
        name=f"{GATEWISE} on Ray, {count}{', HAProxy' if haproxy else ''}",
        command=lambda port, scratch: [
            *(*alone.command(port, scratch), "--engine", "ray"),
            *("--replicas", str(replicas)),
        ],
    )


def service_variables(assignments: Sequence[str]) -> dict[str, str]:
    """Settings of the service as the variables that it reads.

    >>> service_variables(["workers=2"])
    {'GATEWISE_WORKERS': '2'}
    """
    found = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise BenchmarkError(f"expected NAME=VALUE, received {assignment!r}")
        found[f"GATEWISE_{name.upper()}"] = value
    return found


def echo() -> Server:
    """An endpoint of the same stack that echoes the body."""
    return Server(
        ECHO,
        lambda port, _: [sys.executable, APPLICATIONS / "echo.py", str(port)],
        ready="/health/ready",
        path="/predict",
        format=request_formats.HUGGING_FACE,
        classifies=False,
    )


def constant() -> Server:
    """The same few bytes for every request: the highest rate that can be measured."""
    return Server(
        CONSTANT,
        lambda port, _: [sys.executable, APPLICATIONS / "constant.py", str(port)],
        ready="/",
        path="/",
        format=request_formats.HUGGING_FACE,
        classifies=False,
    )


def bentoml(model: Path, python: Path) -> Server:
    """BentoML with its adaptive batching; `python` is that of its environment."""
    return Server(
        BENTOML,
        lambda port, _: [
            *(_script(python, "bentoml"), "serve", "bento_app:Classifier"),
            *("--working-dir", APPLICATIONS, "--host", "127.0.0.1", "--port", str(port)),
        ],
        ready="/readyz",
        path="/predict",
        format=request_formats.HUGGING_FACE_LIST,
        variables=_peer_variables(model, BENTOML_DO_NOT_TRACK="True"),
    )


def ray_serve(model: Path, python: Path) -> Server:
    """Ray Serve with its dynamic request batching; `python` is that of its environment."""
    return Server(
        RAY,
        lambda port, _: [python.absolute(), APPLICATIONS / "ray_app.py", str(port)],
        ready="/-/healthz",
        path="/predict",
        format=request_formats.HUGGING_FACE,
        variables=_peer_variables(model, RAY_USAGE_STATS_ENABLED="0"),
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
            "implementation": "benchmarks.serving.applications.mlserver_app.Classifier",
            "max_batch_size": 64,
            "max_batch_time": 0.001,
        }
        for name, document in (("settings", settings), ("model-settings", runtime)):
            (scratch / f"{name}.json").write_text(json.dumps(document), encoding="utf-8")
        return [_script(python, "mlserver"), "start", scratch]

    return Server(
        MLSERVER,
        command,
        ready="/v2/health/ready",
        path="/v2/models/classifier/infer",
        format=request_formats.OPEN_INFERENCE,
        variables=_peer_variables(model),
    )


PEERS = {"bentoml": bentoml, "ray": ray_serve, "mlserver": mlserver}
"""By the folder of their environment."""


def _peer_variables(model: Path, **more: str) -> dict[str, str]:
    return {"MODEL": str(model.resolve()), **more}


def _script(python: Path, name: str) -> Path:
    # Not resolved: the link is how an interpreter knows which environment it belongs to.
    return python.absolute().parent / name
