"""Where Ray Serve listens that runs already: it is asked there, for Ray does not say."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
from gatewise.service.ray_cluster import Cluster
from gatewise.service.serving.ray import deployment
from gatewise.service.serving.ray.deployment import ServingError
from gatewise.service.serving.settings import Settings

pytestmark = pytest.mark.ray

OTHERS = Cluster(is_ours=False, cpus=1)


class Proxy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/-/healthz" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """That of a proxy without TLS, on a cluster where Ray Serve runs."""
    status = SimpleNamespace(proxies={"node": "HEALTHY"})
    monkeypatch.setattr(deployment.serve, "status", lambda: status)
    monkeypatch.delattr(deployment.serve, "start")
    with HTTPServer(("127.0.0.1", 0), Proxy) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_where_it_answers_is_told(port: int) -> None:
    where = deployment.listening(Settings(model=("m",), port=port), OTHERS)
    assert where == f"http://127.0.0.1:{port}"


def test_that_it_is_somewhere_else_is_said(port: int, caplog: pytest.LogCaptureFixture) -> None:
    where = deployment.listening(Settings(model=("m",), port=1), OTHERS)
    assert where == "the address of Ray Serve"
    assert "not at 127.0.0.1:1: --host and --port change nothing" in caplog.text


def test_no_tls_where_it_was_asked_for_is_refused(port: int) -> None:
    settings = Settings(model=("m",), port=port, tls_certificate=Path("certificate.pem"))
    with pytest.raises(ServingError, match="expected TLS there, by GATEWISE_TLS_CERTIFICATE"):
        deployment.listening(settings, OTHERS)
