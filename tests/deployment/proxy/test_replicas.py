"""The proxy in front of real services: who gets which request, and what becomes of it."""

import signal
import threading
import time
from collections import Counter
from contextlib import contextmanager

import httpx
import pytest

pytestmark = pytest.mark.deployment

ASKED = {"inputs": "blue"}
CLIENTS = 4
HOSTS = ["127.0.0.2", "127.0.0.3", "127.0.0.4"]


def labels_in(response):
    return [each["label"] for each in response.json()[0]]


@pytest.fixture
def start(dns, replica, proxy):
    """Starts replicas and the proxy, and waits until they are up."""

    def run(hosts, **variables):
        processes = [replica(host) for host in hosts]
        dns.addresses = hosts
        started = proxy(**variables)
        started.wait_for_replicas(len(hosts))
        return started, processes

    return run


@contextmanager
def load(proxy):
    """Asks without pause until the end; yields the statuses, 0 where there was no answer."""
    statuses: list[int] = []
    over = threading.Event()

    def ask():
        with httpx.Client(base_url=proxy.client.base_url, timeout=60, trust_env=False) as client:
            while not over.is_set():
                try:
                    statuses.append(client.post("/predict", json=ASKED).status_code)
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


def wait_for_more(statuses, more=200):
    reached, deadline = len(statuses) + more, time.monotonic() + 60
    while len(statuses) < reached:
        assert time.monotonic() < deadline, f"expected {more} more answers in 60 s"
        time.sleep(0.02)


def test_requests_are_spread_over_the_replicas(start):
    started, _ = start(HOSTS[:2])
    for _ in range(40):
        response = started.client.post("/predict", json=ASKED)
        assert labels_in(response)[0] == "blue"
    served = Counter(each["replica"] for each in started.requests(40))
    assert len(served) == 2
    assert min(served.values()) >= 10


def test_replica_that_dies_is_replaced_and_found_when_it_is_back(start, replica):
    started, (first, second) = start(HOSTS[:2])
    with load(started) as statuses:
        wait_for_more(statuses)
        first.kill()
        first.wait()
        started.wait_for_replicas(1)
        wait_for_more(statuses)
        replica(HOSTS[0])
        started.wait_for_replicas(2)
        wait_for_more(statuses)
    # An answer of which a part has been passed on cannot be taken back.
    assert statuses.count(0) <= CLIENTS
    assert set(statuses) <= {0, 200}
    assert second.poll() is None


def test_replica_that_is_stopped_loses_no_request(start):
    started, (first, _) = start(HOSTS[:2])
    with load(started) as statuses:
        wait_for_more(statuses)
        first.send_signal(signal.SIGTERM)
        assert first.wait(60) == 0
        wait_for_more(statuses)
    assert set(statuses) == {200}


def test_replicas_are_found_and_forgotten_as_the_dns_says(dns, replica, proxy):
    for host in HOSTS:
        replica(host)
    dns.addresses = HOSTS[:1]
    started = proxy()
    started.wait_for_replicas(1)
    with load(started) as statuses:
        dns.addresses = HOSTS
        started.wait_for_replicas(3)
        wait_for_more(statuses)
        dns.addresses = HOSTS[2:]
        started.wait_for_replicas(1)
        wait_for_more(statuses)
    assert set(statuses) == {200}
    assert len({each["replica"] for each in started.requests(1)}) == 3


def test_without_a_replica_it_says_so(dns, proxy):
    started = proxy()
    assert started.inside.get("/ready").status_code == 503
    response = started.client.post("/predict", json=ASKED)
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "1"
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json()["type"] == "urn:gatewise:problem:not-ready"
    assert response.headers["X-Request-ID"]


def test_it_is_ready_when_a_replica_is(dns, replica, proxy):
    replica(HOSTS[0])
    dns.addresses = HOSTS[:2]  # one of the two is not there
    started = proxy()
    started.wait_for_replicas(1)
    assert started.inside.get("/ready").status_code == 200
    assert started.client.get("/health/ready").json() == {"status": "ready"}


def test_size_of_bodies_is_limited_as_in_the_service(start):
    started, _ = start(HOSTS[:1], GATEWISE_MAX_BODY_BYTES="1000")
    largest = b'{"inputs": "blue"}'.ljust(1000)
    headers = {"Content-Type": "application/json"}
    passed = started.client.post("/predict", content=largest, headers=headers)
    assert passed.status_code == 200
    refused = started.client.post("/predict", content=largest + b" ", headers=headers)
    assert refused.status_code == 413
    assert refused.json()["type"] == "urn:gatewise:problem:body-too-large"
    assert refused.json()["detail"] == "expected at most 1000 bytes"


def test_default_limit_of_bodies_is_that_of_the_service(start):
    from gatewise.service.serving.settings import Settings

    started, _ = start(HOSTS[:1])
    largest: int = Settings.model_fields["max_body_bytes"].default
    headers = {"Content-Type": "application/json"}
    for size, status in ((largest, 200), (largest + 1, 413)):
        body = b'{"inputs": "blue"}'.ljust(size)
        answer = started.client.post("/predict", content=body, headers=headers)
        assert answer.status_code == status
    assert {each["replica"] for each in started.requests(2) if each["status"] == 413} == {"<NOSRV>"}
