"""The address of a Ray Serve that is running: it is found by a request, for Ray does not say."""

import threading
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
    def do_GET(self):
        self.send_response(200 if self.path == "/-/healthz" else 404)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def port(monkeypatch):
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


def test_a_running_proxy_is_found_where_the_settings_say(port, caplog):
    where = deployment.start_proxy(Settings(model=("m",), port=port), OTHERS)
    assert where == f"http://127.0.0.1:{port}"
    where = deployment.start_proxy(Settings(model=("m",), port=1), OTHERS)
    assert where == "the address of Ray Serve"
    assert "not at 127.0.0.1:1: host and port have no effect" in caplog.text
    settings = Settings(model=("m",), port=port, tls_certificate=Path("certificate.pem"))
    with pytest.raises(ServingError, match="expected TLS there, by GATEWISE_TLS_CERTIFICATE"):
        deployment.start_proxy(settings, OTHERS)
