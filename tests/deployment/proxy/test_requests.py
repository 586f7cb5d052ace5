"""What the proxy does to a request, seen from a replica that is none: it only writes down."""

import base64
import datetime
import hashlib
import re
import signal
import socket
import socketserver
import ssl
import threading
import time

import httpx
import pytest

pytestmark = pytest.mark.deployment

HOST = "127.0.0.2"
NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Replica(socketserver.ThreadingTCPServer):
    """Is ready, echoes what comes after an upgrade, and hangs up on every other POST."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port):
        super().__init__((HOST, port), _Connection)
        self.heads: list[str] = []
        self.not_ready: set[str] = set()  # paths that are answered with 503

    def asked(self, path):
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


@pytest.fixture
def replica(port):
    with Replica(port) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def started(dns, replica, proxy):
    dns.addresses = [HOST]
    found = proxy(MANAGE="true")
    found.wait_for_replicas(1)
    return found


def header(head, name):
    found = re.search(rf"^{name}: (.*)\r$", head, re.IGNORECASE | re.MULTILINE)
    return found and found[1]


@pytest.mark.parametrize(
    ("path", "times"),
    [
        # What changes nothing is sent again, what may change something is sent once.
        *((path, 3) for path in ("/predict", "/explain")),
        *((path, 3) for path in ("/models/a/versions/1/predict", "/v2/models/a/infer")),
        *((path, 1) for path in ("/models/a/load", "/models", "/predict/a", "/")),
    ],
)
def test_request_whose_replica_hangs_up_is_sent_again(started, replica, path, times):
    assert started.client.post(path, json={}).status_code == 502
    assert len(replica.asked(path)) == times


@pytest.mark.parametrize(("path", "times"), [("/predict", 3), ("/models/a/load", 1)])
def test_request_whose_replica_is_not_ready_is_sent_again(started, replica, path, times):
    replica.not_ready = {path}
    assert started.client.post(path).status_code == 503
    assert len(replica.asked(path)) == times


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/models/a/reload"),
        ("POST", "/models/a/versions/1/load"),
        ("DELETE", "/models/a/versions/1"),
        ("PUT", "/models/a/traffic"),
    ],
)
def test_models_are_managed_through_it_only_on_request(dns, replica, proxy, method, path):
    dns.addresses = [HOST]
    started = proxy()
    started.wait_for_replicas(1)
    assert started.client.request(method, path).status_code == 403
    assert started.client.get("/models").status_code == 200
    assert replica.asked(path) == []


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
    assert {"order-17.3_b", name} <= {each["request_id"] for each in started.requests(2)}


@pytest.mark.parametrize("name", ['"}', "a b", "", "a" * 65, "ä"])
def test_a_name_that_could_forge_a_log_is_replaced(started, replica, name):
    response = started.client.get("/docs", headers={b"X-Request-ID": name.encode()})
    assert NAME.fullmatch(response.headers["X-Request-ID"])
    assert header(replica.heads[-1], "X-Request-ID") == response.headers["X-Request-ID"]


def test_a_replica_learns_who_asks_from_the_proxy_alone(started, replica):
    lies = {"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https"}
    started.client.get("/docs", headers=lies)
    assert header(replica.heads[-1], "X-Forwarded-For") == "127.0.0.1"
    assert header(replica.heads[-1], "X-Forwarded-Proto") == "http"


def test_a_query_is_not_logged(started):
    started.client.get("/docs", params={"text": "a secret"})
    started.client.get('/"quoted"')
    logged = started.requests(2)
    assert [each["path"] for each in logged] == ["/docs", "/%22quoted%22"]
    assert "secret" not in "".join(started.lines)


def test_only_what_goes_wrong_is_logged_unless_asked(dns, replica, proxy):
    dns.addresses = [HOST]
    quiet = proxy(GATEWISE_ACCESS_LOG="")
    quiet.wait_for_replicas(1)
    quiet.client.post("/models")
    quiet.client.get("/docs")
    assert [each["path"] for each in quiet.requests(1)] == ["/models"]


def test_connections_to_a_replica_are_kept(started, replica):
    for _ in range(20):
        assert started.client.get("/docs").status_code == 200
    stats = started.inside.get("/metrics").text
    (reused,) = re.findall(
        r'^haproxy_backend_connection_reuses_total\{proxy="replicas"\} (\d+)', stats, re.MULTILINE
    )
    assert int(reused) >= 19


def test_a_body_that_is_not_all_there_keeps_no_replica_waiting(started, replica):
    address = (started.client.base_url.host, started.client.base_url.port)
    with socket.create_connection(address) as slow:
        slow.sendall(b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{")
        assert started.client.get("/docs").status_code == 200
        assert replica.asked("/predict") == []
        slow.sendall(b" " * 99)
        assert b"502" in slow.recv(100)
    assert len(replica.asked("/predict")) == 3


def test_told_to_stop_it_answers_what_is_under_way(started, replica):
    address = (started.client.base_url.host, started.client.base_url.port)
    with socket.create_connection(address) as slow:
        slow.sendall(b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{")
        assert started.client.get("/docs").status_code == 200
        started.process.send_signal(signal.SIGUSR1)
        deadline = time.monotonic() + 60
        while is_listening(address):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        slow.sendall(b" " * 99)
        assert b"502" in slow.recv(100)
    started.client.close()
    started.inside.close()
    assert started.process.wait(60) == 0


def is_listening(address):
    try:
        socket.create_connection(address).close()
    except ConnectionRefusedError:
        return False
    return True


def test_a_stream_is_passed_through_both_ways(started, replica):
    address = (started.client.base_url.host, started.client.base_url.port)
    key = base64.b64encode(bytes(16)).decode()
    with socket.create_connection(address, timeout=30) as stream:
        stream.sendall(
            b"GET /stream HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key.encode() + b"\r\n\r\n"
        )
        answer = stream.recv(1000)
        assert answer.startswith(b"HTTP/1.1 101 ")
        for frame in (b"\x81\x01a", b"\x81\x01b"):
            stream.sendall(frame)
            assert stream.recv(1000) == frame
    assert header(replica.asked("/stream")[0], "Sec-WebSocket-Key") == key


@pytest.fixture
def certificate(tmp_path):
    """A certificate of `localhost` with its key, signed by itself."""
    return make_certificate(tmp_path / "certificate.pem")


@pytest.fixture
def with_tls(dns, replica, proxy, certificate, free_port):
    """The proxy with a certificate, and its port for TLS."""
    dns.addresses = [HOST]
    port = free_port()
    started = proxy(CERTIFICATE=str(certificate), LISTEN_TLS=f"127.0.0.1:{port}")
    started.wait_for_replicas(1)
    return started, port


def make_certificate(file):
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

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
    pem = serialization.Encoding.PEM
    private = serialization.PrivateFormat.PKCS8
    file.write_bytes(
        signed.public_bytes(pem) + key.private_bytes(pem, private, serialization.NoEncryption())
    )
    return file


def test_with_a_certificate_it_speaks_tls_and_nothing_else(with_tls, replica, certificate):
    started, port = with_tls
    trusted = ssl.create_default_context(cafile=certificate)
    with httpx.Client(verify=trusted, trust_env=False) as client:
        response = client.get(f"https://localhost:{port}/docs")
    assert response.status_code == 200
    assert response.headers["Strict-Transport-Security"] == "max-age=31536000"
    assert header(replica.heads[-1], "X-Forwarded-Proto") == "https"
    redirected = started.client.get("/docs")
    assert redirected.status_code == 308
    assert redirected.headers["Location"].startswith("https://")
    assert len(replica.heads) == 1


def test_new_certificate_is_taken_without_a_restart(with_tls, certificate):
    started, port = with_tls
    first = ssl.get_server_certificate(("127.0.0.1", port))
    make_certificate(certificate)
    started.process.send_signal(signal.SIGUSR2)
    deadline = time.monotonic() + 60
    while ssl.get_server_certificate(("127.0.0.1", port)) == first:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert started.process.poll() is None
