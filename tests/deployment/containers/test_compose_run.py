"""The compose file brought up by Podman: replicas, proxy and Prometheus as containers.

The images of the proxy and of Prometheus are pulled, or made by `make_images.sh` beside this file.
"""

import json
import os
import shutil
import subprocess
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import yaml

ROOT = Path(__file__).parents[3]
PROJECT = f"gatewise-test-{os.getpid()}"
REPLICAS = [f"{PROJECT}_gatewise_{number}" for number in (1, 2)]
PROXY, PROMETHEUS = (f"{PROJECT}_{name}_1" for name in ("proxy", "prometheus"))
SERVICES = ("gatewise", "proxy", "prometheus")
BODY = {"inputs": "blue"}

# An engine that runs in a container itself may raise no limit above its own.
LIMITS = {"nofile": 1024, "nproc": 4096}
OVERRIDE = {
    "services": {
        "gatewise": {"ulimits": LIMITS},
        "proxy": {"ulimits": {**LIMITS, "nofile": 16384}},
        "prometheus": {"ulimits": LIMITS},
    }
}


def run(*command, check=True, **variables):
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "COMPOSE_PROJECT_NAME": PROJECT, **variables},
    )
    assert done.returncode == 0 or not check, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="module")
def podman():
    """Podman with podman-compose, which runs containers on this machine."""
    for program in ("podman", "podman-compose"):
        if shutil.which(program) is None:
            pytest.skip(f"this machine lacks {program}")
    images = ["docker.io/library/python:3.11-slim-bookworm"]
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    for name in ("proxy", "prometheus"):
        image = compose["services"][name]["image"]
        images.append(f"docker.io/{image}" if "/" in image else f"docker.io/library/{image}")
    for image in images:
        if run("podman", "image", "exists", image, check=False).returncode == 0:
            continue
        if run("podman", "pull", "--quiet", image, check=False).returncode:
            pytest.skip(f"the image {image} is neither here nor to be pulled")
    limits = [f"--ulimit={name}={number}:{number}" for name, number in LIMITS.items()]
    started = run("podman", "run", "--rm", *limits, images[0], "true", check=False)
    if started.returncode:
        pytest.skip(f"podman cannot run a container: {started.stderr.splitlines()[-1]}")
    return limits


@pytest.fixture(scope="module")
def image(podman):
    """The image of the service, built as the Dockerfile says."""
    # What pip is configured with on this machine, and the certificates that it trusts.
    configured = [
        path for path in ("/etc/pip.conf", "/etc/xdg/pip", "/etc/ssl/certs") if Path(path).exists()
    ]
    volumes = [f"--volume={path}:{path}:ro" for path in configured]
    options = ["--network=host", "--format=docker", "--tag=localhost/gatewise", *podman, *volumes]
    run("podman", "build", "--quiet", *options, ".")
    return "localhost/gatewise"


class Deployed:
    """The containers of the compose file, once they run."""

    def __init__(self, models, port):
        self.models = models
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False)

    def answers(self):
        try:
            return self.client.post("/predict", json=BODY).status_code == 200
        except httpx.TransportError:
            return False

    @contextmanager
    def load(self):
        """Sends requests from four threads, each by connections of its own; yields the answers."""
        answers, over = [], threading.Event()

        def send():
            while not over.is_set():
                answer = httpx.post(
                    self.client.base_url.join("/predict"), json=BODY, timeout=30, trust_env=False
                )
                answers.append((answer.status_code, answer.headers.get("gatewise-version", "")))

        with ThreadPoolExecutor(4) as pool:
            threads = [pool.submit(send) for _ in range(4)]
            try:
                yield answers
            finally:
                over.set()
            for thread in threads:
                thread.result()

    def inside(self, container, url):
        """What an address answers inside of a container."""
        return run("podman", "exec", container, "wget", "-q", "-O", "-", url).stdout

    def query(self, expression):
        """The values of an expression that Prometheus evaluates."""
        url = httpx.URL("http://127.0.0.1:9090/api/v1/query", params={"query": expression})
        found = json.loads(self.inside(PROMETHEUS, str(url)))
        return [float(each["value"][1]) for each in found["data"]["result"]]

    def firing(self):
        found = json.loads(self.inside(PROMETHEUS, "http://127.0.0.1:9090/api/v1/alerts"))
        return {
            each["labels"]["alertname"]
            for each in found["data"]["alerts"]
            if each["state"] == "firing"
        }


@pytest.fixture(scope="module")
def deployed(image, multi_label_folder, tmp_path_factory, free_port, wait_until):
    folder = tmp_path_factory.mktemp("compose")
    models = folder / "models"
    shutil.copytree(multi_label_folder, models / "1")
    for path in (models, *models.rglob("*")):  # for the user of the container
        path.chmod(0o755 if path.is_dir() else 0o644)
    override = folder / "override.yml"
    override.write_text(yaml.safe_dump(OVERRIDE))
    port = free_port()
    variables = {
        "MODEL": str(models),
        "MODEL_PATH": "colours=/model",
        "PUBLISH": f"127.0.0.1:{port}",
        "GATEWISE_WATCH_SECONDS": "1",
    }
    compose = ["podman-compose", "-f", "docker-compose.yml", "-f", str(override)]
    compose += ["--profile", "monitoring"]
    try:
        run(*compose, "up", "--detach", "--no-build", *SERVICES, **variables)
        deployed = Deployed(models, port)
        wait_until(deployed.answers, "the proxy passes a request on")
        yield deployed
        deployed.client.close()
    finally:
        run(*compose, "down", "--volumes", check=False, **variables)


def test_two_replicas_answer_behind_the_proxy_and_are_healthy(deployed, wait_until):
    answer = deployed.client.post("/predict", json=BODY)
    assert answer.json()[0][0]["label"] == "blue"
    assert answer.headers["gatewise-model"] == "colours"
    for container in (*REPLICAS, PROXY, PROMETHEUS):
        check = ("podman", "healthcheck", "run", container)
        wait_until(lambda check=check: not run(*check, check=False).returncode, "all are healthy")
    for replica in REPLICAS:
        assert "serving colours=/model at" in run("podman", "logs", replica).stderr
        # A read-only root, no capabilities, an unprivileged user.
        who = run("podman", "exec", replica, "python", "-c", "import os; print(os.getuid())")
        assert who.stdout.strip() == "10001"
        written = run("podman", "exec", replica, "touch", "/opt/gatewise/x", check=False)
        assert "Read-only file system" in written.stderr


def test_a_replica_is_killed_under_load_and_comes_back(deployed, wait_until):
    with deployed.load() as answers:
        wait_until(lambda: len(answers) > 50, "there is load")
        run("podman", "kill", REPLICAS[0])
        before = len(answers)
        wait_until(lambda: len(answers) > before + 100, "the other one answers")
        run("podman", "start", REPLICAS[0])
        url = "http://127.0.0.1:8000/metrics"

        def is_back():
            asked = run("podman", "exec", REPLICAS[0], "wget", "-q", "-O", "-", url, check=False)
            return 'route="/predict",status="200"' in asked.stdout

        wait_until(is_back, "the replica that was killed gets requests again")
    assert Counter(status for status, _ in answers).keys() == {200}


def test_a_new_version_takes_over_under_load(deployed, wait_until):
    with deployed.load() as answers:
        wait_until(lambda: len(answers) > 20, "there is load")
        unfinished = deployed.models / ".2"
        shutil.copytree(deployed.models / "1", unfinished)
        unfinished.rename(deployed.models / "2")
        wait_until(
            lambda: {version for _, version in answers[-20:]} == {"2"}, "both serve version 2"
        )
    assert {status for status, _ in answers} == {200}


def test_prometheus_asks_every_replica_and_an_alert_fires(deployed, wait_until):
    wait_until(lambda: deployed.query('up{job="gatewise"}') == [1, 1], "both replicas are asked")
    counted = 'sum(gatewise_predictions_total{model="colours",version="2",label="blue"})'
    wait_until(lambda: deployed.query(counted) and deployed.query(counted)[0] > 0, "texts count")
    assert deployed.query('haproxy_backend_active_servers{proxy="replicas"}') == [2]
    run("podman", "stop", *REPLICAS)
    for replica in REPLICAS:
        log = run("podman", "logs", replica).stderr.splitlines()
        assert log[-1].endswith("INFO stopped")
        assert "INFO drained: 0 requests are unanswered" in "\n".join(log[-4:])
    answer = deployed.client.post("/predict", json=BODY)
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:gatewise:problem:not-ready")
    alert = "GatewiseProxyHasNoReplica"
    wait_until(lambda: alert in deployed.firing(), "the alert of no replica fires", 120)
