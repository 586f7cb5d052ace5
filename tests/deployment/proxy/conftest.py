"""The proxy as it is deployed, on the loopback: replicas from 127.0.0.2 on, and their DNS."""

import json
import os
import signal
import socket
import socketserver
import struct
import subprocess
import threading
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

CONFIGURATION = Path(__file__).parents[3] / "deploy" / "proxy" / "haproxy.cfg"


class Dns(socketserver.ThreadingUDPServer):
    """Knows one name: that of the replicas, with the addresses in `addresses`; see RFC 1035."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Asked)
        self.addresses: list[str] = []


class _Asked(socketserver.BaseRequestHandler):
    def handle(self):
        packet, answers_by = self.request
        end = packet.index(0, 12) + 5  # the name, its type and its class
        is_address = packet[end - 4 : end - 2] == b"\0\1"
        addresses = self.server.addresses if is_address else []
        head = packet[:2] + struct.pack(">HHHHH", 0x8180, 1, len(addresses), 0, 0)
        records = [
            b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 0, 4) + socket.inet_aton(address)
            for address in addresses
        ]
        answers_by.sendto(head + packet[12:end] + b"".join(records), self.client_address)


@contextmanager
def running(server):
    """Runs a server of the standard library in a thread."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="session")
def run():
    return running


@pytest.fixture(scope="module")
def dns():
    with running(Dns()) as server:
        yield server


@pytest.fixture(scope="module")
def port(free_port):
    """The port of every replica."""
    return free_port("127.0.0.2")


class Proxy:
    """The proxy's process, clients of its two ways in, and the requests in its log."""

    def __init__(self, process, urls, wait_until):
        self.process = process
        self.client, self.inside = (
            httpx.Client(base_url=url, timeout=60, trust_env=False) for url in urls
        )
        self.address = (self.client.base_url.host, self.client.base_url.port)
        self.lines = []
        self._wait_until = wait_until
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        self.lines.extend(self.process.stdout)

    def close(self):
        self.client.close()
        self.inside.close()
        self.process.terminate()
        self._reader.join()

    @property
    def replicas_up(self):
        """How many replicas take requests, by the proxy's own metrics."""
        (line,) = (
            line
            for line in self.inside.get("/metrics").text.splitlines()
            if line.startswith('haproxy_backend_active_servers{proxy="replicas"}')
        )
        return int(line.split()[1])

    def wait_for_replicas(self, number):
        self._wait_until(lambda: self.replicas_up == number, f"{number} replicas were up")

    @property
    def logged(self):
        """What the log says of each request that is over."""
        return [json.loads(line) for line in list(self.lines) if line.startswith("{")]

    def forget(self):
        """Forgets the requests so far, once all of them are logged."""
        self.client.get("/last")
        self._wait_until(
            lambda: "/last" in {each["path"] for each in self.logged}, "the last was logged"
        )
        self.lines.clear()

    def requests(self, number):
        """What the log says of the requests of a test, once it speaks of so many."""
        self._wait_until(lambda: len(self.logged) >= number, f"{number} requests were logged")
        return self.logged


@pytest.fixture(scope="module")
def start_proxy(haproxy, dns, port, free_port, wait_until):
    """Starts a proxy with variables besides those that say where everything is."""

    @contextmanager
    def start(**variables):
        public, inside = (f"127.0.0.1:{free_port()}" for _ in range(2))
        places = {
            "LISTEN": public,
            "LISTEN_INSIDE": inside,
            "RESOLVER": "{}:{}".format(*dns.server_address),
            "REPLICAS_AT": f"gatewise:{port}",
        }
        with ExitStack() as stack:
            process = subprocess.Popen(
                [haproxy, "-W", "-db", "-f", str(CONFIGURATION)],  # as the image starts it
                env={**os.environ, **places, "GATEWISE_ACCESS_LOG": "true", **variables},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            stack.enter_context(process)
            stack.callback(process.send_signal, signal.SIGTERM)
            started = Proxy(process, [f"http://{public}", f"http://{inside}"], wait_until)
            stack.callback(started.close)
            wait_until(lambda: is_up(started.inside), "the proxy answered")
            yield started

    return start


@pytest.fixture
def proxy(start_proxy):
    """Starts proxies, which end after the test."""
    with ExitStack() as stack:
        yield lambda **variables: stack.enter_context(start_proxy(**variables))


def is_up(client):
    try:
        client.get("/ready")
    except httpx.TransportError:
        return False
    return True
