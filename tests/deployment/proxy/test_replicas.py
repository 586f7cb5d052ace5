"""The proxy in front of real services: which replica gets a request, and how it is answered."""

import signal
import subprocess
import sys
import threading
from collections import Counter
from contextlib import ExitStack, contextmanager

import httpx
import pytest

pytestmark = pytest.mark.deployment

REQUEST = {"inputs": "blue"}
CLIENTS = 4
HOSTS = ["127.0.0.2", "127.0.0.3", "127.0.0.4"]
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def start_replica(multi_label_folder, port):
    """Starts the service at an address; returns its process once it listens."""
    with ExitStack() as stack:

        def start(host):
            command = [sys.executable, "-m", "gatewise", "serve", str(multi_label_folder)]
            place = ["--host", host, "--port", str(port)]
            process = subprocess.Popen([*command, *place], stderr=subprocess.PIPE, text=True)
            stack.enter_context(process)
            stack.callback(process.kill)
            assert "ready after" in process.stderr.readline()
            return process

        yield start


@pytest.fixture(scope="module")
def replicas(start_replica):
    """The processes of three services, by their address."""
    return {host: start_replica(host) for host in HOSTS}


@pytest.fixture(scope="module")
def shared(start_proxy):
    with start_proxy() as proxy:
        yield proxy


@pytest.fixture
def started(shared):
    """A proxy that has logged no request yet."""
    shared.forget()
    return shared


@contextmanager
def load(proxy):
    """Asks without pause until the end; yields the statuses, 0 where there was no answer."""
    statuses = []
    over = threading.Event()

    def ask():
        with httpx.Client(base_url=proxy.client.base_url, timeout=60, trust_env=False) as client:
            while not over.is_set():
                try:
                    statuses.append(client.post("/predict", json=REQUEST).status_code)
                except httpx.TransportError:
                    statuses.append(0)

    threads = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield statuses
    finally:
        over.set()
        for thread in threads:
            thread.join()


@pytest.fixture
def wait_for_more(wait_until):
    """Waits until so many more statuses are there."""

    def wait(statuses, more=200):
        reached = len(statuses) + more
        wait_until(lambda: len(statuses) >= reached, f"there were {more} more answers")

    return wait


def test_without_a_replica_it_says_so(started):
    # None is known before the first test that starts some.
    assert started.inside.get("/ready").status_code == 503
    response = started.client.post("/predict", json=REQUEST)
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "1"
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json()["type"] == "urn:gatewise:problem:not-ready"
    assert response.headers["X-Request-ID"]


def test_it_is_ready_when_a_replica_is_and_requests_are_spread(dns, replicas, started):
    dns.addresses = [*HOSTS[:2], "127.0.0.9"]  # one of the three is not there
    started.wait_for_replicas(2)
    assert started.inside.get("/ready").status_code == 200
    assert started.client.get("/health/ready").json() == {"status": "ready"}
    for _ in range(40):
        response = started.client.post("/predict", json=REQUEST)
        assert response.json()[0][0]["label"] == "blue"
    served = Counter(each["replica"] for each in started.requests(41))
    assert len(served) == 2
    assert min(served.values()) >= 10


def test_replicas_are_found_and_forgotten_as_the_dns_says(dns, replicas, started, wait_for_more):
    dns.addresses = HOSTS[:1]
    started.wait_for_replicas(1)
    with load(started) as statuses:
        dns.addresses = HOSTS
        started.wait_for_replicas(3)
        wait_for_more(statuses)
        dns.addresses = HOSTS[2:]
        started.wait_for_replicas(1)
        wait_for_more(statuses)
    assert set(statuses) == {200}
    assert len({each["replica"] for each in started.logged}) == 3


def test_bodies_are_bounded_as_the_service_bounds_them(dns, replicas, started, proxy, default):
    dns.addresses = HOSTS[:1]
    largest = default("max_body_bytes")
    for bounded, limit in ((proxy(GATEWISE_MAX_BODY_BYTES="1000"), 1000), (started, largest)):
        bounded.wait_for_replicas(1)
        body = b'{"inputs": "blue"}'.ljust(limit)
        passed = bounded.client.post("/predict", content=body, headers=JSON)
        assert passed.status_code == 200
        refused = bounded.client.post("/predict", content=body + b" ", headers=JSON)
        assert refused.status_code == 413
        assert refused.json()["type"] == "urn:gatewise:problem:body-too-large"
        assert refused.json()["detail"] == f"expected at most {limit} bytes"
        assert bounded.requests(2)[-1]["replica"] == "<NOSRV>"


def test_a_replica_that_dies_is_stood_in_for_and_found_when_it_is_back(
    dns, replicas, start_replica, started, wait_for_more
):
    dns.addresses = HOSTS[:2]
    started.wait_for_replicas(2)
    with load(started) as statuses:
        wait_for_more(statuses)
        replicas[HOSTS[0]].kill()
        replicas[HOSTS[0]].wait()
        started.wait_for_replicas(1)
        wait_for_more(statuses)
        replicas[HOSTS[0]] = start_replica(HOSTS[0])
        started.wait_for_replicas(2)
        wait_for_more(statuses)
    # An answer of which a part has been passed on cannot be taken back.
    assert statuses.count(0) <= CLIENTS
    assert set(statuses) <= {0, 200}


def test_a_replica_that_is_stopped_takes_no_request_with_it(dns, replicas, started, wait_for_more):
    dns.addresses = HOSTS[1:]
    started.wait_for_replicas(2)
    stopped = replicas.pop(HOSTS[1])
    with load(started) as statuses:
        wait_for_more(statuses)
        stopped.send_signal(signal.SIGTERM)
        assert stopped.wait(60) == 0
        wait_for_more(statuses)
    assert set(statuses) == {200}
