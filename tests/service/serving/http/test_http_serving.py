"""Services as processes: versions, limits, workers, logs, TLS and tracing."""

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from gatewise.service.serving.http.auth import api_keys
from gatewise.service.serving.http.auth.api_keys import Role, make_key

BODY = {"inputs": "where is the station"}


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "timed out"
        time.sleep(0.05)


@pytest.fixture
def versions(model_folder: Path, tmp_path: Path) -> Path:
    """A folder with version 1 of a model."""
    shutil.copytree(model_folder, tmp_path / "m" / "1")
    return tmp_path / "m"


def put(model_folder: Path, versions: Path, version: str) -> None:
    shutil.copytree(model_folder, versions / f".{version}")
    (versions / f".{version}").rename(versions / version)


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, dict[str, str], dict[str, str]]:
    """A file of keys, and the headers with a key of each role."""
    file = tmp_path / "keys.jsonl"
    headers = []
    for role in (Role.PREDICT, Role.ADMIN):
        key, entry = make_key(role.value, role)
        api_keys.add(file, entry)
        headers.append({"Authorization": f"Bearer {key}"})
    return file, headers[0], headers[1]


class Load:
    """Sends requests to a service from several threads, and keeps the answers."""

    def __init__(self, client: httpx.Client, threads: int = 4) -> None:
        self.answers: list[tuple[int, str]] = []
        self._client = client
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(threads)
        self._sending = [self._pool.submit(self._send) for _ in range(threads)]

    def _send(self) -> None:
        while not self._stop.is_set():
            answer = self._client.post("/predict", json=BODY)
            self.answers.append((answer.status_code, answer.headers.get("gatewise-version", "")))

    def __enter__(self) -> "Load":
        wait_for(lambda: bool(self.answers))
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> list[tuple[int, str]]:
        self._stop.set()
        for sending in self._sending:
            sending.result(30)
        self._pool.shutdown()
        return self.answers


class TestVersions:
    @pytest.mark.parametrize("way", ["a call", "SIGHUP", "watching"])
    def test_a_new_version_takes_over_without_a_lost_request(
        self, start: Any, versions: Path, model_folder: Path, keys: Any, way: str
    ) -> None:
        file, predicts, admin = keys
        watch = 0.2 if way == "watching" else 0
        service = start(versions, api_keys_file=file, watch_seconds=watch)
        service.client.headers.update(predicts)
        with Load(service.client) as load:
            for version in ("2", "3"):
                put(model_folder, versions, version)
                if way == "a call":
                    answer = service.client.post("/models/m/reload", headers=admin)
                    assert answer.json()["loaded"] == [version]
                elif way == "SIGHUP":
                    service.process.send_signal(signal.SIGHUP)
                wait_for(lambda version=version: load.answers[-1][1] == version)
        assert {status for status, _ in load.answers} == {200}
        assert {version for _, version in load.answers} == {"1", "2", "3"}

    def test_versions_are_changed_by_admins_only(
        self, start: Any, versions: Path, model_folder: Path, keys: Any
    ) -> None:
        file, predicts, admin = keys
        put(model_folder, versions, "2")
        client = start(versions, api_keys_file=file).client

        def versions_of(headers: dict[str, str] = predicts) -> dict[str, float]:
            model = client.get("/models/m", headers=headers).json()
            return {version["version"]: version["traffic"] for version in model["versions"]}

        assert versions_of() == {"1": 0, "2": 1}
        shares = {"shares": {"1": 1, "2": 3}}
        for headers, status in (({}, 401), (predicts, 403), (admin, 200)):
            answer = client.put("/models/m/traffic", json=shares, headers=headers)
            assert answer.status_code == status
        assert versions_of() == {"1": 0.25, "2": 0.75}
        chosen = [
            client.post("/predict", json=BODY, headers=predicts).headers["gatewise-version"]
            for _ in range(40)
        ]
        assert 8 <= chosen.count("1") <= 12
        for version, status in (("3", 404), ("2", 200), ("1", 409)):
            answer = client.delete(f"/models/m/versions/{version}", headers=admin)
            assert answer.status_code == status
        assert versions_of() == {"1": 1}
        by_version = client.post("/models/m/versions/2/predict", json=BODY, headers=predicts)
        assert by_version.status_code == 404
        assert client.post("/models/m/versions/2/load", headers=admin).status_code == 200
        assert set(versions_of()) == {"1", "2"}
        for shares, status in (
            ({"shares": {"1": -1}}, 422),
            ({"shares": {"1": 0}}, 422),
            ({"shares": {"9": 1}}, 404),
            ({"share": {}}, 422),
            ({"shares": None}, 200),
        ):
            answer = client.put("/models/m/traffic", json=shares, headers=admin)
            assert answer.status_code == status, shares

    def test_a_version_that_does_not_load_changes_nothing(
        self, start: Any, versions: Path, model_folder: Path, keys: Any
    ) -> None:
        file, predicts, admin = keys
        client = start(versions, api_keys_file=file).client
        put(model_folder, versions, "2")
        (versions / "2" / "config.json").write_text("{}")
        answer = client.post("/models/m/reload", headers=admin)
        assert answer.status_code == 409
        assert "config.json" in answer.json()["detail"]
        found = client.get("/models/m", headers=predicts).json()["versions"]
        states = [(version["version"], version["state"]) for version in found]
        assert states == [("1", "ready"), ("2", "failed")]
        answer = client.post("/predict", json=BODY, headers=predicts)
        assert answer.headers["gatewise-version"] == "1"


class TestLimits:
    def test_a_full_queue_and_a_deadline(self, start: Any, model_folder: Path) -> None:
        service = start(model_folder, max_queued_texts=1, deadline_seconds=0.5, max_texts=2000)
        many = {"inputs": ["where is the station " * 300] * 60}
        statuses: list[int] = []

        def ask() -> None:
            answer = httpx.post(f"{service.url}/predict", json=many, timeout=60, trust_env=False)
            statuses.append(answer.status_code)
            if answer.status_code == 429:
                assert int(answer.headers["retry-after"]) >= 1
                assert answer.json()["type"] == "urn:gatewise:problem:queue-full"
            if answer.status_code == 504:
                assert answer.json()["type"] == "urn:gatewise:problem:deadline"

        with ThreadPoolExecutor(16) as pool:
            for asked in [pool.submit(ask) for _ in range(16)]:
                asked.result(60)
        assert set(statuses) <= {200, 429, 504}
        assert 429 in statuses
        # A late job leaves the queue when a thread gets to it.
        wait_for(lambda: service.client.post("/predict", json=BODY).status_code == 200)

    def test_the_texts_of_a_disconnected_client_are_dropped(
        self, start: Any, model_folder: Path
    ) -> None:
        service = start(model_folder)
        many = json.dumps({"inputs": ["where is the station " * 300] * 60}).encode()
        head = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(many)
        connections = [socket.create_connection(("127.0.0.1", service.port)) for _ in range(20)]
        for connection in connections:
            connection.sendall(head + many)
        for connection in connections:
            connection.close()

        def gone() -> bool:
            return 'reason="gone"' in service.client.get("/metrics").text

        wait_for(gone)
        assert service.client.post("/predict", json=BODY).status_code == 200

    def test_a_draining_service_is_not_ready_but_answers(
        self, start: Any, model_folder: Path
    ) -> None:
        service = start(model_folder, drain_seconds=2)
        assert service.client.get("/health/ready").status_code == 200
        service.process.terminate()
        wait_for(lambda: service.client.get("/health/ready").status_code == 503)
        assert service.client.post("/predict", json=BODY).status_code == 200
        assert service.process.wait(30) == 0


class TestWorkers:
    def test_a_worker_that_dies_is_replaced_and_follows_changes(
        self, start: Any, versions: Path, model_folder: Path, keys: Any
    ) -> None:
        file, predicts, admin = keys
        put(model_folder, versions, "2")
        service = start("--workers", "2", versions, api_keys_file=file)

        def ask(path: str = "/predict") -> httpx.Response:
            # A new connection: another worker may accept it.
            return httpx.post(
                service.url + path, json=BODY, headers=predicts, timeout=30, trust_env=False
            )

        def answering() -> set[str]:
            return {ask().headers["gatewise-version"] for _ in range(20)}

        assert answering() == {"2"}
        share = {"shares": {"1": 1}}
        assert service.client.put("/models/m/traffic", json=share, headers=admin).is_success
        wait_for(lambda: answering() == {"1"})
        before = children(service.process.pid)
        assert len(before) == 2
        os.kill(before[0], signal.SIGKILL)
        assert f"worker {before[0]} ended with code -9: replaced" in service.next_line()
        wait_for(lambda: len(set(children(service.process.pid)) - set(before)) == 1)
        # The new worker applies earlier changes.
        wait_for(lambda: answering() == {"1"})
        time.sleep(2)
        assert answering() == {"1"}
        counted = sum(
            float(line.rpartition(" ")[2])
            for line in service.client.get("/metrics", headers=predicts).text.splitlines()
            if line.startswith("gatewise_requests_total") and '"/predict"' in line
        )
        assert counted >= 40  # of both processes
        code, rest = service.stop()
        assert code == 0, rest
        assert "Traceback" not in rest

    def test_workers_apply_changes_in_order(
        self, start: Any, model_folder: Path, versions: Path, keys: Any
    ) -> None:
        file, predicts, admin = keys
        service = start("--workers", "2", versions, api_keys_file=file)
        for version in ("2", "3"):
            put(model_folder, versions, version)
        # On one connection, and so by one worker; the other one takes a while to load two versions.
        assert service.client.post("/models/m/reload", headers=admin).is_success
        share = {"shares": {"1": 3, "2": 1}}
        assert service.client.put("/models/m/traffic", json=share, headers=admin).is_success
        assert service.client.delete("/models/m/versions/3", headers=admin).is_success

        def versions_seen() -> set[tuple[tuple[str, float], ...]]:
            answers = [
                httpx.get(f"{service.url}/models/m", headers=predicts, trust_env=False).json()
                for _ in range(20)
            ]
            return {
                tuple((found["version"], found["traffic"]) for found in answer["versions"])
                for answer in answers
            }

        wait_for(lambda: versions_seen() == {(("1", 0.75), ("2", 0.25))})
        # A new worker gets shares that name a version which is gone by now.
        shutil.rmtree(versions / "2")
        assert service.client.post("/models/m/reload", headers=admin).is_success
        put(model_folder, versions, "4")
        assert service.client.post("/models/m/reload", headers=admin).is_success
        wait_for(lambda: versions_seen() == {(("1", 1.0), ("4", 0.0))})
        os.kill(children(service.process.pid)[0], signal.SIGKILL)
        wait_for(lambda: len(children(service.process.pid)) == 2)
        time.sleep(3)
        assert versions_seen() == {(("1", 1.0), ("4", 0.0))}
        _, rest = service.stop()
        assert "has no version" not in rest

    def test_workers_end_with_their_supervisor(self, start: Any, model_folder: Path) -> None:
        service = start("--workers", "2", model_folder)
        workers = children(service.process.pid)
        service.process.kill()
        wait_for(lambda: not any(is_alive(pid) for pid in workers))

    def test_a_model_that_cannot_be_loaded_ends_the_start(self, tmp_path: Path) -> None:
        command = [sys.executable, "-m", "gatewise", "serve", "--port", "0", "--workers", "2"]
        ended = subprocess.run(
            [*command, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
        )
        assert ended.returncode == 1
        assert "not a Gatewise model folder" in ended.stderr
        assert "Traceback" not in ended.stderr


def children(pid: int) -> list[int]:
    found = subprocess.run(
        ["pgrep", "-P", str(pid), "-f", "spawn_main"], capture_output=True, text=True, check=False
    )
    return [int(child) for child in found.stdout.split()]


def is_alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


class TestLog:
    def test_json_lines(self, start: Any, model_folder: Path) -> None:
        service = start(model_folder, log_format="json", access_log="true")
        ask = {"inputs": "a secret text"}
        headers = {"X-Request-ID": "mine-1", "X-API-Key": "a secret key"}
        answer = service.client.post("/predict?q=secret", json=ask, headers=headers)
        assert answer.headers["x-request-id"] == "mine-1"
        line = json.loads(service.next_line())
        assert {name: line[name] for name in ("request_id", "method", "path", "status")} == {
            "request_id": "mine-1",
            "method": "POST",
            "path": "/predict",
            "status": 200,
        }
        assert line["model"] == model_folder.name
        assert line["ms"] > 0
        assert "secret" not in json.dumps(line)
        other = service.client.get("/health/live", headers={"X-Request-ID": "no\tgood"})
        assert other.headers["x-request-id"] not in ("", "mine-1")

    def test_texts_are_logged_if_enabled(self, start: Any, model_folder: Path) -> None:
        service = start(model_folder, access_log="true", log_texts="true")
        service.client.post("/predict", json={"inputs": ["a text\nof two lines"]})
        line = service.next_line()
        assert line.endswith('texts=["a text\\nof two lines"]\n')
        tensor = {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["another text"]}
        (name,) = (model["name"] for model in service.client.get("/models").json()["models"])
        service.next_line()
        service.client.post(f"/v2/models/{name}/infer", json={"inputs": [tensor]})
        assert service.next_line().endswith('texts=["another text"]\n')

    def test_a_long_path_is_truncated(self, start: Any, model_folder: Path) -> None:
        service = start(model_folder, access_log="true")
        answer = service.client.get("/" + "a" * 20_000)
        assert answer.status_code == 404
        assert len(answer.json()["detail"]) < 500
        assert 1000 < len(service.next_line()) < 2000


@pytest.fixture
def certificate(tmp_path: Path) -> Callable[[], Path]:
    """Writes a new certificate with its key, always to the same file."""

    def write() -> Path:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
            .sign(key, hashes.SHA256())
        )
        file = tmp_path / "certificate.pem"
        pem = serialization.Encoding.PEM
        file.write_bytes(
            made.public_bytes(pem)
            + key.private_bytes(
                pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return file

    return write


class TestCertificate:
    def test_https_and_a_new_certificate(
        self, start: Any, model_folder: Path, certificate: Callable[[], Path]
    ) -> None:
        file = certificate()
        service = start(model_folder, tls_certificate=file)
        assert service.url.startswith("https://127.0.0.1:")

        def ask() -> int:
            trusted = ssl.create_default_context(cafile=str(file))
            url = f"https://localhost:{service.port}/predict"
            return httpx.post(url, json=BODY, verify=trusted, trust_env=False).status_code

        assert ask() == 200
        certificate()
        with pytest.raises(httpx.ConnectError):
            ask()
        service.process.send_signal(signal.SIGHUP)

        def is_taken() -> bool:
            try:
                return ask() == 200
            except httpx.ConnectError:
                return False

        wait_for(is_taken)
        good = file.read_bytes()
        file.write_text("no certificate")
        service.process.send_signal(signal.SIGHUP)
        assert "the certificate stays as it was" in service.next_line()
        file.write_bytes(good)
        assert ask() == 200

    @pytest.mark.parametrize("content", [None, "no certificate"])
    def test_an_invalid_certificate_ends_the_start(
        self, model_folder: Path, tmp_path: Path, content: str | None
    ) -> None:
        file = tmp_path / "certificate.pem"
        if content:
            file.write_text(content)
        ended = subprocess.run(
            [sys.executable, "-m", "gatewise", "serve", str(model_folder), "--port", "0"],
            capture_output=True,
            text=True,
            env={**os.environ, "GATEWISE_TLS_CERTIFICATE": str(file)},
            timeout=60,
            check=False,
        )
        assert ended.returncode == 1
        assert str(file) in ended.stderr
        assert ended.stderr.count("\n") == 1


@pytest.fixture
def collector() -> Iterator[tuple[str, list[Any]]]:
    """An OpenTelemetry collector on the loopback: its address, and the spans that it got."""
    spans: list[Any] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                import gzip

                content = gzip.decompress(content)
            sent = ExportTraceServiceRequest.FromString(content)
            spans.extend(
                (group.resource, one.spans)
                for group in sent.resource_spans
                for one in group.scope_spans
            )
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", spans
    server.shutdown()
    thread.join()
    server.server_close()


def test_requests_are_traced_if_enabled(
    start: Any, model_folder: Path, collector: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, spans = collector
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
    service = start(model_folder, traces="true")
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    service.client.post("/predict", json=BODY, headers={"traceparent": parent})
    service.client.get("/health/live")
    code, rest = service.stop()
    assert code == 0, rest
    found = [span for _, group in spans for span in group]
    assert [span.name for span in found] == ["POST /predict"]
    assert found[0].trace_id.hex() == "0af7651916cd43dd8448eb211c80319c"
    attributes = {one.key: one.value.string_value for one in spans[0][0].attributes}
    assert attributes["service.name"] == "gatewise"
