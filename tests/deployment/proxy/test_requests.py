"""What the proxy does to a request, seen by a stand-in for a replica, which records it."""

import base64
import datetime
import hashlib
import re
import signal
import socket
import socketserver
import ssl

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

pytestmark = pytest.mark.deployment

HOST = "127.0.0.2"
NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
UNFINISHED = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{"


class Replica(socketserver.ThreadingTCPServer):
    """Is ready, echoes what comes after an upgrade, and hangs up on every other POST."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port):
        super().__init__((HOST, port), _Connection)
        self.heads = []
        self.not_ready = set()  # paths that are answered with 503

    def requests_for(self, path):
        return [head for head in self.heads if head.split()[1] == path]


class _Connection(socketserver.StreamRequestHandler):
    def handle(self):
        while head := self._head():
            method, path, _ = head.split("\r\n")[0].split(" ")
            if path != "/health/ready":
                self.server.heads.append(head)
            if "upgrade: websocket" in head.lower():
                self._answer("101 Switching Protocols", accepting(head), "Upgrade")
                while data := self.rfile.read1():
                    self.wfile.write(data)
            elif path in self.server.not_ready:
                self._answer("503 Service Unavailable")
            elif method == "POST":
                return
            else:
                self._answer("200 OK")

    def _head(self):
        lines = []
        while (line := self.rfile.readline().decode()).strip():
            lines.append(line)
        return "".join(lines)

    def _answer(self, status, header="", connection="keep-alive"):
        length = "" if header else "Content-Length: 0\r\n"
        head = f"HTTP/1.1 {status}\r\n{header}{length}Connection: {connection}\r\n\r\n"
        self.wfile.write(head.encode())


def accepting(head):
    """The headers that accept an upgrade, RFC 6455."""
    key = f"{header(head, 'Sec-WebSocket-Key')}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accepted = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
    return f"Upgrade: websocket\r\nSec-WebSocket-Accept: {accepted}\r\n"


def header(head, name):
    found = re.search(rf"^{name}: (.*)\r$", head, re.IGNORECASE | re.MULTILINE)
    return found and found[1]


@pytest.fixture(scope="module")
def listening(port, run, dns):
    with run(Replica(port)) as server:
        dns.addresses = [HOST]
        yield server


@pytest.fixture
def replica(listening):
    """A replica that has had no request yet."""
    listening.heads.clear()
    listening.not_ready = set()
    return listening


@pytest.fixture(scope="module")
def managing(start_proxy, listening):
    with start_proxy(MANAGE="true") as proxy:
        proxy.wait_for_replicas(1)
        yield proxy


@pytest.fixture
def started(managing, replica):
    """A proxy that passes changes of the models on, and has logged no request yet."""
    managing.forget()
    replica.heads.clear()
    return managing


def test_what_changes_nothing_is_sent_again_and_else_once(started, replica):
    for path in ("/predict", "/explain", "/models/a/versions/1/predict", "/v2/models/a/infer"):
        assert started.client.post(path, json={}).status_code == 502
        assert len(replica.requests_for(path)) == 3
    for path in ("/models/a/load", "/models", "/predict/a", "/"):
        assert started.client.post(path, json={}).status_code == 502
        assert len(replica.requests_for(path)) == 1
    # A replica that is not ready is tried as often.
    replica.heads.clear()
    replica.not_ready = {"/predict", "/models/a/load"}
    for path, times in (("/predict", 3), ("/models/a/load", 1)):
        assert started.client.post(path).status_code == 503
        assert len(replica.requests_for(path)) == times


def test_models_are_managed_and_requests_logged_only_on_request(replica, proxy):
    quiet = proxy(GATEWISE_ACCESS_LOG="")
    quiet.wait_for_replicas(1)
    assert quiet.client.post("/models").status_code == 502
    assert quiet.client.get("/models").status_code == 200
    # Only what goes wrong is logged.
    assert [(each["path"], each["status"]) for each in quiet.requests(1)] == [("/models", 502)]
    for method, path in (
        ("POST", "/models/a/reload"),
        ("POST", "/models/a/versions/1/load"),
        ("DELETE", "/models/a/versions/1"),
        ("PUT", "/models/a/traffic"),
    ):
        assert quiet.client.request(method, path).status_code == 403
        assert replica.requests_for(path) == []


@pytest.mark.parametrize("path", ["/metrics", "/metrics/", "/%6detrics", "/%6Detric%73?a=b"])
def test_metrics_are_not_published(started, replica, path):
    response = started.client.get(path)
    assert response.status_code == 404
    assert response.json()["type"] == "urn:gatewise:problem:no-route"
    assert replica.heads == []


def test_a_request_has_one_name_everywhere(started, replica):
    named = started.client.get("/docs", headers={"X-Request-ID": "order-17.3_b"})
    assert named.headers.get_list("X-Request-ID") == ["order-17.3_b"]
    assert header(replica.heads[-1], "X-Request-ID") == "order-17.3_b"
    unnamed = started.client.get("/docs")
    (name,) = unnamed.headers.get_list("X-Request-ID")
    assert NAME.fullmatch(name)
    assert header(replica.heads[-1], "X-Request-ID") == name
    assert ["order-17.3_b", name] == [each["request_id"] for each in started.requests(2)]


@pytest.mark.parametrize("name", ['"}', "a b", "", "a" * 65, "ä"])
def test_a_name_that_could_forge_a_log_is_replaced(started, replica, name):
    response = started.client.get("/docs", headers={b"X-Request-ID": name.encode()})
    assert NAME.fullmatch(response.headers["X-Request-ID"])
    assert header(replica.heads[-1], "X-Request-ID") == response.headers["X-Request-ID"]


def test_a_replica_learns_the_client_from_the_proxy_alone(started, replica):
    lies = {"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https"}
    started.client.get("/docs", headers=lies)
    assert header(replica.heads[-1], "X-Forwarded-For") == "127.0.0.1"
    assert header(replica.heads[-1], "X-Forwarded-Proto") == "http"


def test_a_query_is_not_logged(started):
    started.client.get("/docs", params={"text": "a secret"})
    started.client.get('/"quoted"')
    assert [each["path"] for each in started.requests(2)] == ["/docs", "/%22quoted%22"]
    assert "secret" not in "".join(started.lines)


def test_connections_to_a_replica_are_kept(started):
    for _ in range(20):
        assert started.client.get("/docs").status_code == 200
    stats = started.inside.get("/metrics").text
    (reused,) = re.findall(
        r'^haproxy_backend_connection_reuses_total\{proxy="replicas"\} (\d+)', stats, re.MULTILINE
    )
    assert int(reused) >= 19


def test_a_stream_is_passed_through_both_ways(started, replica):
    key = base64.b64encode(bytes(16)).decode()
    with socket.create_connection(started.address, timeout=30) as stream:
        stream.sendall(
            b"GET /stream HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key.encode() + b"\r\n\r\n"
        )
        assert stream.recv(1000).startswith(b"HTTP/1.1 101 ")
        for frame in (b"\x81\x01a", b"\x81\x01b"):
            stream.sendall(frame)
            assert stream.recv(1000) == frame
    assert header(replica.requests_for("/stream")[0], "Sec-WebSocket-Key") == key


def test_an_unfinished_body_keeps_no_replica_waiting_and_is_answered_at_a_stop(
    replica, proxy, wait_until
):
    stopping = proxy()
    stopping.wait_for_replicas(1)

    def is_listening():
        try:
            socket.create_connection(stopping.address).close()
        except ConnectionRefusedError:
            return False
        return True

    with socket.create_connection(stopping.address) as slow:
        slow.sendall(UNFINISHED)
        assert stopping.client.get("/docs").status_code == 200
        assert replica.requests_for("/predict") == []
        stopping.process.send_signal(signal.SIGUSR1)
        wait_until(lambda: not is_listening(), "the proxy took no more connections")
        slow.sendall(b" " * 99)
        assert b"502" in slow.recv(100)
    assert len(replica.requests_for("/predict")) == 3
    stopping.client.close()
    stopping.inside.close()
    assert stopping.process.wait(60) == 0


def write_certificate(file):
    """Writes a certificate of `localhost` with its key, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, private = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    file.write_bytes(
        signed.public_bytes(pem) + key.private_bytes(pem, private, serialization.NoEncryption())
    )


def test_with_a_certificate_it_speaks_tls_and_takes_a_new_one_without_a_restart(
    replica, proxy, free_port, tmp_path, wait_until
):
    file = tmp_path / "certificate.pem"
    write_certificate(file)
    port = free_port()
    secured = proxy(CERTIFICATE=str(file), LISTEN_TLS=f"127.0.0.1:{port}")
    secured.wait_for_replicas(1)
    trusted = ssl.create_default_context(cafile=file)
    with httpx.Client(verify=trusted, trust_env=False) as client:
        response = client.get(f"https://localhost:{port}/docs")
    assert response.status_code == 200
    assert response.headers["Strict-Transport-Security"] == "max-age=31536000"
    assert header(replica.heads[-1], "X-Forwarded-Proto") == "https"
    redirected = secured.client.get("/docs")
    assert redirected.status_code == 308
    assert redirected.headers["Location"].startswith("https://")
    assert len(replica.heads) == 1

    def certificate():
        return ssl.get_server_certificate(("127.0.0.1", port))

    first = certificate()
    write_certificate(file)
    secured.process.send_signal(signal.SIGUSR2)
    wait_until(lambda: certificate() != first, "the new certificate was taken")
    assert secured.process.poll() is None
