"""The proxy in front of real services: who gets which request, and what becomes of it."""

import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.deployment

ASKED = {"inputs": "blue"}
CLIENTS = 4
HOSTS = ["127.0.0.2", "127.0.0.3", "127.0.0.4"]


def labels_in(response: httpx.Response) -> list[str]:
    return [each["label"] for each in response.json()[0]]


@contextmanager
def load(proxy: Any) -> Iterator[list[int]]:
    """Asks without pause until the end; yields the statuses, 0 where there was no answer."""
    statuses: list[int] = []
    over = threading.Event()

    def ask() -> None:
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


def wait_for_more(statuses: list[int], more: int = 200) -> None:
    reached, deadline = len(statuses) + more, time.monotonic() + 60
    while len(statuses) < reached:
        assert time.monotonic() < deadline, f"expected {more} more answers in 60 s"
        time.sleep(0.02)


def test_requests_are_spread_over_the_replicas(dns, replica, proxy) -> None:
    for host in HOSTS[:2]:
        replica(host)
    dns.addresses = HOSTS[:2]
    started = proxy()
    started.wait_for_replicas(2)
    for _ in range(40):
        response = started.client.post("/predict", json=ASKED)
        assert labels_in(response)[0] == "blue"
    served = Counter(each["replica"] for each in started.requests(40))
    assert len(served) == 2
    assert min(served.values()) >= 10


def test_a_replica_that_dies_is_stood_in_for_and_found_when_it_is_back(dns, replica, proxy) -> None:
    first, second = map(replica, HOSTS[:2])
    dns.addresses = HOSTS[:2]
    started = proxy()
    started.wait_for_replicas(2)
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


def test_a_replica_that_is_stopped_takes_no_request_with_it(dns, replica, proxy) -> None:
    first, _ = map(replica, HOSTS[:2])
    dns.addresses = HOSTS[:2]
    started = proxy()
    started.wait_for_replicas(2)
    with load(started) as statuses:
        wait_for_more(statuses)
        first.send_signal(signal.SIGTERM)
        assert first.wait(60) == 0
        wait_for_more(statuses)
    assert set(statuses) == {200}


def test_replicas_are_found_and_forgotten_as_the_dns_says(dns, replica, proxy) -> None:
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


def test_without_a_replica_it_says_so(dns, proxy) -> None:
    started = proxy()
    assert started.inside.get("/ready").status_code == 503
    response = started.client.post("/predict", json=ASKED)
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "1"
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json()["type"] == "urn:gatewise:problem:not-ready"
    assert response.headers["X-Request-ID"]


def test_it_is_ready_when_a_replica_is(dns, replica, proxy) -> None:
    replica(HOSTS[0])
    dns.addresses = HOSTS[:2]  # one of the two is not there
    started = proxy()
    started.wait_for_replicas(1)
    assert started.inside.get("/ready").status_code == 200
    assert started.client.get("/health/ready").json() == {"status": "ready"}


def test_bodies_are_bounded_as_the_service_bounds_them(dns, replica, proxy) -> None:
    replica(HOSTS[0])
    dns.addresses = HOSTS[:1]
    started = proxy(GATEWISE_MAX_BODY_BYTES="1000")
    started.wait_for_replicas(1)
    largest = b'{"inputs": "blue"}'.ljust(1000)
    headers = {"Content-Type": "application/json"}
    passed = started.client.post("/predict", content=largest, headers=headers)
    assert passed.status_code == 200
    refused = started.client.post("/predict", content=largest + b" ", headers=headers)
    assert refused.status_code == 413
    assert refused.json()["type"] == "urn:gatewise:problem:body-too-large"
    assert refused.json()["detail"] == "expected at most 1000 bytes"


def test_without_a_bound_it_has_the_services(dns, replica, proxy) -> None:
    from gatewise.service.serving.settings import Settings

    replica(HOSTS[0])
    dns.addresses = HOSTS[:1]
    started = proxy()
    started.wait_for_replicas(1)
    largest: int = Settings.model_fields["max_body_bytes"].default
    headers = {"Content-Type": "application/json"}
    for size, status in ((largest, 200), (largest + 1, 413)):
        body = b'{"inputs": "blue"}'.ljust(size)
        answer = started.client.post("/predict", content=body, headers=headers)
        assert answer.status_code == status
    assert {each["replica"] for each in started.requests(2) if each["status"] == 413} == {"<NOSRV>"}
