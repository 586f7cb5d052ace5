"""The service on Ray, on a cluster of this machine that also serves another application.

The tests share one service and run in their order: the last ones change and stop it.
"""

import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.sync.client import connect

from gatewise.service.serving.app import create_app
from gatewise.service.serving.http.auth import api_keys
from gatewise.service.serving.http.auth.api_keys import Role, make_key
from gatewise.service.serving.http.routes.explain import MAX_WAITING
from gatewise.service.serving.settings import Settings

pytestmark = pytest.mark.ray

ROOT = Path(__file__).parents[4]

CLUSTER = """
import json, logging, sys
import ray
from ray import serve
from starlette.requests import Request

class Other:
    async def __call__(self, request: Request) -> str:
        return "the other"

ray.init(address="local", num_cpus=3, include_dashboard=False, object_store_memory=100 * 2**20,
         logging_level=logging.ERROR, log_to_driver=False)
serve.start(http_options={"port": int(sys.argv[1])}, logging_config={"log_level": "ERROR"})
serve.run(serve.deployment(Other).options(ray_actor_options={"num_cpus": 0}).bind(), name="other",
          route_prefix="/other")
print("address", ray.get_runtime_context().gcs_address, flush=True)
for line in sys.stdin:
    print("applications", *sorted(serve.status().applications), flush=True)
ray.shutdown()
"""
"""Starts a cluster with an application, until its standard input is closed."""

TEXTS = ["Wo ist der Bahnhof?", "Where is the station?", "最寄りの駅はどこですか", "x" * 5000]

BAD = [
    ("POST", "/predict", b'{"inputs": 7}'),
    ("POST", "/predict", b'{"inputs": ["a", " "]}'),
    ("POST", "/predict", b" " * 70_000),
    ("GET", "/nowhere", b""),
    ("POST", "/models/none/predict", b'{"inputs": "a"}'),
    ("POST", "/v2/models/none/infer", b'{"inputs": []}'),
    ("POST", "/v2/models/m/infer", b'{"inputs": [], "parameters": {"class_count": 2}}'),
    ("HEAD", "/models/none", b""),
]


class Cluster:
    """The process that started the cluster."""

    def __init__(self, process, port):
        self._process = process
        self.pid = process.pid
        self.port = port
        self.address = self._line("address")

    def applications(self):
        self._process.stdin.write("?\n")
        self._process.stdin.flush()
        return self._line("applications").split()

    def _line(self, begin):
        for line in self._process.stdout:
            if line.startswith(begin + " "):
                return line.removeprefix(begin).strip()
        raise AssertionError("the cluster has gone")


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture(scope="module")
def environment():
    """The environment for Ray: a token, and the path of the code."""
    return {
        **{name: one for name, one in os.environ.items() if not name.startswith("GATEWISE_")},
        "PYTHONPATH": str(ROOT),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
    }


@pytest.fixture(scope="module")
def cluster(environment):
    port = free_port()
    with subprocess.Popen(
        [sys.executable, "-c", CLUSTER, str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    ) as process:
        try:
            yield Cluster(process, port)
        finally:
            process.stdin.close()
            process.wait(30)


class Serving:
    """A running `gatewise serve --engine ray`."""

    def __init__(self, process):
        self.process = process
        self.lines = []
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()
        self.url = self.line(r"INFO serving .* at (http://\S+) by ")
        self.client = httpx.Client(base_url=self.url, timeout=30, trust_env=False)

    def line(self, pattern, seconds=180):
        """Waits for a line of the log."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for line in tuple(self.lines):
                if found := re.search(pattern, line):
                    return found[1] if found.groups() else line
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError(f"no {pattern!r} in {self.lines}")

    def stop(self, number):
        """Tells it to stop; its exit code and what is on its standard output."""
        self.process.send_signal(number)
        output = self.process.stdout.read()
        return self.process.wait(60), output

    def _read(self):
        self.lines.extend(self.process.stderr)


@contextmanager
def served(environment, *arguments, **settings):
    variables = {f"GATEWISE_{name.upper()}": value for name, value in settings.items()}
    with subprocess.Popen(
        [sys.executable, "-m", "gatewise", "serve", *map(str, arguments), "--engine", "ray"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**environment, **variables},
        cwd=ROOT,
    ) as process:
        try:
            serving = Serving(process)
            with serving.client:
                yield serving
        finally:
            process.kill()


def refused(environment, *arguments):
    """The exit code and the last line of a service that does not start."""
    ended = subprocess.run(
        [sys.executable, "-m", "gatewise", "serve", *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
        cwd=ROOT,
        timeout=180,
    )
    assert ended.stdout == ""
    return ended.returncode, ended.stderr.splitlines()[-1]


@pytest.fixture(scope="module")
def versions(model_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served") / "m"
    shutil.copytree(model_folder, folder / "1")
    return folder


@pytest.fixture(scope="module")
def once_key():
    """A key that may send one request in a long time, and its entry in the file."""
    return make_key("once", Role.PREDICT, requests_per_second=1e-4)


@pytest.fixture(scope="module")
def settings(keys, once_key, tmp_path_factory):
    file = shutil.copy(keys.file, tmp_path_factory.mktemp("keys"))
    api_keys.add(Path(file), once_key[1])
    limits = {"max_texts": "8", "max_body_bytes": "65536"}
    return {"api_keys_file": str(file), "root_path": "/clf", **limits}


@pytest.fixture(scope="module")
def ray_service(environment, cluster, versions, forward_model_folder, keys, settings):
    """Two replicas of two models on the cluster, with a client that has an admin's key."""
    models = (versions, f"forward={forward_model_folder}")
    place = ("--address", cluster.address, "--port", str(cluster.port), "--replicas", "2")
    with served(environment, *models, *place, **settings) as serving:
        serving.client.headers.update(keys.admin)
        yield serving


@pytest.fixture(scope="module")
def local_service(serve_app, versions, forward_model_folder, keys, settings, wait_until):
    """A client of the same service without Ray."""
    models = (str(versions), f"forward={forward_model_folder}")
    client = serve_app(create_app(Settings(model=models, **settings)))
    client.headers.update(keys.admin)
    wait_until(lambda: client.get("/health/ready").status_code == 200)
    return client


def samples(serving, name, **labels):
    """The samples of a metric with these labels, by `GET /metrics`."""
    families = text_string_to_metric_families(serving.client.get("/metrics").text)
    return [
        sample
        for family in families
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]


def replicas_of(serving):
    """How many requests to /predict each replica has answered."""
    answered = samples(serving, "gatewise_requests_total", route="/predict", status="200")
    return {sample.labels["replica"]: sample.value for sample in answered}


def descendants(pid):
    """The descendants of a process, with their command lines."""
    parents, titles = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int(
                (folder / "stat").read_text().rpartition(")")[2].split()[1]
            )
            titles[int(folder.name)] = (folder / "cmdline").read_text()
        except OSError:  # it has ended meanwhile
            continue
    found = {pid}
    while more := {one for one, parent in parents.items() if parent in found} - found:
        found |= more
    return {one: titles.get(one, "") for one in found - {pid}}


def replicas_below(pid):
    """The processes of the replicas on a cluster that was started by a process."""
    return {one for one, title in descendants(pid).items() if "ServeReplica:gatewise" in title}


def test_scores_equal_those_of_the_local_service_bit_for_bit(ray_service, local_service):
    bodies = [{"inputs": text} for text in TEXTS]
    bodies += [{"inputs": TEXTS, "parameters": {"function_to_apply": "none", "top_k": 2}}]
    for body in bodies * 4:
        for path in ("/predict", "/models/forward/predict", "/explain"):
            ours = ray_service.client.post(path, json=body)
            expected = local_service.post(path, json=body)
            assert (ours.status_code, ours.content) == (200, expected.content), path
            for name in ("gatewise-model", "gatewise-version", "gatewise-truncated-texts"):
                assert ours.headers.get(name) == expected.headers.get(name)


def test_problems_equal_those_of_the_local_service(ray_service, local_service):
    headers = {"content-type": "application/json"}
    for method, path, content in BAD:
        ours = ray_service.client.request(method, path, content=content, headers=headers)
        expected = local_service.request(method, path, content=content, headers=headers)
        assert expected.is_client_error
        assert (ours.status_code, ours.content) == (expected.status_code, expected.content)
        assert ours.headers["content-type"] == expected.headers["content-type"]


def test_head_and_a_prefix_are_answered_as_by_the_local_service(ray_service, local_service):
    for method, path in (
        *(("HEAD", path) for path in ("/", "/docs", "/health/ready", "/models", "/v2/models/m")),
        *(("GET", f"/clf{path}") for path in ("/", "/docs", "/openapi.json", "/models/m")),
    ):
        ours = ray_service.client.request(method, path)
        expected = local_service.request(method, path)
        assert (ours.status_code, ours.content) == (200, expected.content), path
        assert ours.headers["content-length"] == expected.headers["content-length"]


def test_a_key_has_its_rate_limit_in_each_replica(ray_service, once_key):
    url, headers = f"{ray_service.url}/v2", {"X-API-Key": once_key[0]}
    answers = [httpx.get(url, headers=headers, trust_env=False) for _ in range(16)]
    statuses = [answer.status_code for answer in answers]
    assert statuses.count(200) == 2
    assert statuses.count(429) == 14
    assert all(int(one.headers["retry-after"]) > 1000 for one in answers if one.is_error)


def test_settings_hold_in_every_replica_and_a_request_has_one_id(ray_service):
    # The environment of the cluster does not have the settings.
    for _ in range(16):
        answer = httpx.get(f"{ray_service.url}/models", trust_env=False)
        assert (answer.status_code, answer.json()["type"][-12:]) == (401, "unauthorized")
    answer = ray_service.client.get("/health/live", headers={"x-request-id": "mine-1"})
    assert answer.headers.get_list("x-request-id") == ["mine-1"]


def test_every_replica_answers_and_metrics_list_each(ray_service):
    def counts():
        labelled = samples(ray_service, "gatewise_predictions_total", model="m", label=label)
        by_key = samples(ray_service, "gatewise_key_requests_total", key="admin", status="200")
        return [sum(one.value for one in found) for found in (labelled, by_key)]

    ((best, *_),) = ray_service.client.post("/predict", json={"inputs": "who"}).json()
    label = best["label"]
    before, (labelled, by_key) = sum(replicas_of(ray_service).values()), counts()
    for _ in range(40):
        assert ray_service.client.post("/predict", json={"inputs": "who"}).status_code == 200
    requests = replicas_of(ray_service)
    assert len(requests) == 2
    assert sum(requests.values()) == before + 40
    assert min(requests.values()) > 0
    more_labelled, more_by_key = counts()
    assert more_labelled == labelled + 40
    assert more_by_key >= by_key + 40  # and those of /metrics


def test_a_stream_is_answered_by_one_replica(ray_service, local_service, keys):
    url = ray_service.url.replace("http", "ws") + "/models/forward/stream"
    with connect(url, additional_headers=keys.admin, proxy=None) as connection:
        for piece in ("Wo ist der ", "Bahn", "hof?"):
            connection.send(json.dumps({"text": piece}))
        connection.send(json.dumps({"end": True}))
        *_, last = (json.loads(message) for message in connection)
    scores = {one["label"]: one["score"] for one in last["scores"]}
    expected = local_service.post("/models/forward/predict", json={"inputs": TEXTS[0]}).json()
    assert scores == pytest.approx({one["label"]: one["score"] for one in expected[0]}, abs=1e-5)


def versions_seen(serving, times=24):
    """Returns the versions in the answers of the replicas, after enough requests to reach each."""
    return {
        tuple(one["version"] for one in serving.client.get("/models/m").json()["versions"])
        for _ in range(times)
    }


def test_a_change_is_applied_in_every_replica(ray_service, versions, model_folder, put):
    put(model_folder, versions / "2")
    assert ray_service.client.post("/models/m/reload").json()["loaded"] == ["2"]
    assert versions_seen(ray_service) == {("1", "2")}
    answer = ray_service.client.put("/models/m/traffic", json={"shares": {"1": 1}})
    assert answer.status_code == 200
    answers = [ray_service.client.post("/predict", json={"inputs": "who"}) for _ in range(16)]
    assert {one.headers["gatewise-version"] for one in answers} == {"1"}


def test_a_killed_replica_loses_its_requests_only_and_its_successor_applies_changes(
    ray_service, cluster, load, wait_until
):
    """The version that gets all requests was chosen by a request, and is not the newest."""
    before = replicas_below(cluster.pid)
    assert len(before) == 2
    killed = min(before)
    with load(ray_service.client) as answers:
        wait_until(lambda: len(answers) > 50)
        os.kill(killed, signal.SIGKILL)
        ray_service.line("WARNING 1 of ")
        ray_service.line("INFO 2 of 2 replicas answer")
        answered = len(answers)
        wait_until(lambda: len(answers) > answered + 50)
    failed = [answer for answer in answers if answer != (200, "1")]
    assert len(failed) <= 4  # of each thread the one that the replica had
    assert {status for status, _ in failed} <= {500, 503}
    # Ray names the process of the new replica shortly after the replica answers.
    wait_until(lambda: len(replicas_below(cluster.pid)) == 2)
    assert before & replicas_below(cluster.pid) == before - {killed}


def test_sighup_reaches_every_replica(ray_service, versions, model_folder, put, wait_until):
    put(model_folder, versions / "3")
    ray_service.process.send_signal(signal.SIGHUP)
    wait_until(lambda: versions_seen(ray_service) == {("1", "2", "3")})


def test_it_answers_before_it_stops_and_removes_nothing_else(
    ray_service, cluster, environment, model_folder
):
    # A second deployment is refused.
    address = ("--address", cluster.address, "--port", str(cluster.port))
    code, line = refused(environment, model_folder, "--engine", "ray", *address)
    assert code == 1
    assert "the cluster serves an application 'gatewise' already" in line
    assert cluster.applications() == ["gatewise", "other"]
    # Explaining so many long texts takes long enough to be in flight at the signal. A replica has
    # one in work and keeps a number waiting, so those that Ray sends it beyond are refused.
    body = {"inputs": ["a b c d e f g h " * 40] * 8}
    with ThreadPoolExecutor(2 * MAX_WAITING) as pool:
        asking = [
            pool.submit(ray_service.client.post, "/explain", json=body, timeout=60)
            for _ in range(2 * MAX_WAITING)
        ]
        time.sleep(0.1)
        assert not all(one.done() for one in asking)
        assert ray_service.stop(signal.SIGTERM) == (0, "")
        answers = [one.result().status_code for one in asking]
    assert set(answers) <= {200, 429}
    assert answers.count(200) > MAX_WAITING
    assert cluster.applications() == ["other"]
    other = httpx.get(f"http://127.0.0.1:{cluster.port}/other", trust_env=False)
    assert other.text == "the other"


def test_a_model_that_a_node_lacks(cluster, environment, tmp_path):
    address = ("--address", cluster.address, "--port", str(cluster.port))
    code, line = refused(environment, tmp_path / "none", "--engine", "ray", *address)
    assert code == 1
    assert re.search(r"error: on the node \S+: \S+/none", line)
    assert cluster.applications() == ["other"]


def test_without_an_address_a_cluster_is_started_and_ended(environment, model_folder, keys):
    """With more replicas than CPUs, for which Ray would wait forever if it counted CPUs only."""
    replicas = (os.cpu_count() or 1) + 1
    number = ("--min-replicas", str(replicas), "--max-replicas", str(replicas))
    settings = {"access_log": "true", "api_keys_file": str(keys.file)}
    with served(environment, f"m={model_folder}", "--port", "0", *number, **settings) as serving:
        serving.client.headers.update(keys.admin)
        for count in range(20):
            headers = {"X-Request-ID": f"mine-{count}"}
            assert serving.client.get("/v2", headers=headers).status_code == 200
        assert serving.client.post("/models/m/reload").status_code == 200
        # Every line reaches the log, also those that are alike, in the form of the local service.
        form = r"^[\d-]+ [\d:,]+ INFO "
        serving.line(rf'{form}audit="reload" by="admin" model="m" client="127.0.0.1" request_id="')
        for count in range(20):
            serving.line(rf'{form}request_id="mine-{count}" .*key="admin"')
        assert len(replicas_below(serving.process.pid)) == replicas
        started = descendants(serving.process.pid)
        assert serving.stop(signal.SIGINT) == (0, "")
        assert not [one for one in started if Path(f"/proc/{one}").exists()]
    assert all("ERROR" not in line for line in serving.lines)
