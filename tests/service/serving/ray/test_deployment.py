"""Where Ray Serve listens that runs already: it is asked there, for Ray does not say."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from gatewise.service.ray_cluster import ClusterConnection
from gatewise.service.serving.ray import deployment
from gatewise.service.serving.ray.deployment import ServingError
from gatewise.service.serving.settings import Settings

pytestmark = pytest.mark.ray

OTHERS = ClusterConnection(is_ours=False, cpus=1)


class Proxy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/-/healthz" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The port of a proxy without TLS, on a cluster where Ray Serve runs."""
    status = SimpleNamespace(proxies={"node": "HEALTHY"})
    monkeypatch.setattr(deployment.serve, "status", lambda: status)
    monkeypatch.delattr(deployment.serve, "start")
    with HTTPServer(("127.0.0.1", 0), Proxy) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_a_running_proxy_is_found(port: int) -> None:
    where = deployment.start_proxy(Settings(model=("m",), port=port), OTHERS)
    assert where == f"http://127.0.0.1:{port}"


def test_a_proxy_at_another_address_is_logged(port: int, caplog: pytest.LogCaptureFixture) -> None:
    where = deployment.start_proxy(Settings(model=("m",), port=1), OTHERS)
    assert where == "the address of Ray Serve"
    assert "not at 127.0.0.1:1: host and port have no effect" in caplog.text


def test_a_proxy_without_tls_is_refused_if_there_is_a_certificate(port: int) -> None:
    settings = Settings(model=("m",), port=port, tls_certificate=Path("certificate.pem"))
    with pytest.raises(ServingError, match="expected TLS there, by GATEWISE_TLS_CERTIFICATE"):
        deployment.start_proxy(settings, OTHERS)
