"""The proxy as it is deployed, on the loopback: replicas from 127.0.0.2 on, and their DNS."""

import json
import os
import signal
import socket
import socketserver
import struct
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

CONFIGURATION = Path(__file__).parents[3] / "deploy" / "proxy" / "haproxy.cfg"
SERVE = [sys.executable, "-m", "gatewise", "serve"]
PATIENCE = 60


def wait_until(condition, what):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"in {PATIENCE} s there was no moment when {what}")
        time.sleep(0.02)


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
        addresses = self.server.addresses if is_address else []  # type: ignore[attr-defined]
        head = packet[:2] + struct.pack(">HHHHH", 0x8180, 1, len(addresses), 0, 0)
        records = [
            b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 0, 4) + socket.inet_aton(address)
            for address in addresses
        ]
        answers_by.sendto(head + packet[12:end] + b"".join(records), self.client_address)


@pytest.fixture
def dns():
    with Dns() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def port(free_port):
    """The port of every replica."""
    return free_port("127.0.0.2")


@pytest.fixture
def replica(multi_label_folder, port):
    """Starts the service at an address; returns its process once it listens."""
    with ExitStack() as stack:

        def start(host):
            process = stack.enter_context(
                subprocess.Popen(
                    [*SERVE, str(multi_label_folder), "--host", host, "--port", str(port)],
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
            stack.callback(process.kill)
            assert process.stderr is not None
            assert "ready after" in process.stderr.readline()
            return process

        yield start


class Proxy:
    """The proxy's process, clients of its two ways in, and the requests in its log."""

    def __init__(self, process, urls):
        self.process = process
        self.client, self.inside = (
            httpx.Client(base_url=url, timeout=PATIENCE, trust_env=False) for url in urls
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        assert self.process.stdout is not None
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
        wait_until(lambda: self.replicas_up == number, f"{number} replicas were up")

    def requests(self, number):
        """What the log says of each request that is over, once it speaks of so many."""
        wait_until(
            lambda: sum(line.startswith("{") for line in list(self.lines)) >= number,
            f"{number} requests were logged",
        )
        return [json.loads(line) for line in list(self.lines) if line.startswith("{")]


@pytest.fixture
def proxy(haproxy, dns, port, free_port):
    """Starts the proxy, with variables besides those that say where everything is."""
    with ExitStack() as stack:

        def start(**variables):
            public, inside = (f"127.0.0.1:{free_port()}" for _ in range(2))
            resolver = "{}:{}".format(*dns.server_address)
            places = {
                "LISTEN": public,
                "LISTEN_INSIDE": inside,
                "RESOLVER": resolver,
                "REPLICAS_AT": f"gatewise:{port}",
            }
            process = subprocess.Popen(
                [haproxy, "-W", "-db", "-f", str(CONFIGURATION)],  # as the image starts it
                env={**os.environ, **places, "GATEWISE_ACCESS_LOG": "true", **variables},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            stack.enter_context(process)
            stack.callback(process.send_signal, signal.SIGTERM)
            started = Proxy(process, [f"http://{public}", f"http://{inside}"])
            stack.callback(started.close)
            wait_until(lambda: answers(started.inside), "the proxy answered")
            return started

        yield start


def answers(client):
    try:
        client.get("/ready")
    except httpx.TransportError:
        return False
    return True
