"""Whole services as processes: what only a process shows, and what one is told while it serves."""

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
from gatewise.service.serving.http.auth import api_keys
from gatewise.service.serving.http.auth.api_keys import Role, make_key
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

BODY = {"inputs": "where is the station"}


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "nothing came of it"
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
    """A file of keys, and the headers of one who predicts and of an admin."""
    file = tmp_path / "keys.jsonl"
    headers = []
    for role in (Role.PREDICT, Role.ADMIN):
        key, entry = make_key(role.value, role)
        api_keys.add(file, entry)
        headers.append({"Authorization": f"Bearer {key}"})
    return file, headers[0], headers[1]


class Asking:
    """Asks a service without a pause, from several threads; keeps what it answers."""

    def __init__(self, client: httpx.Client, threads: int = 4) -> None:
        self.answers: list[tuple[int, str]] = []
        self._client = client
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(threads)
        self._asking = [self._pool.submit(self._ask) for _ in range(threads)]

    def _ask(self) -> None:
        while not self._stop.is_set():
            answer = self._client.post("/predict", json=BODY)
            self.answers.append((answer.status_code, answer.headers.get("gatewise-version", "")))

    def __enter__(self) -> "Asking":
        wait_for(lambda: bool(self.answers))
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> list[tuple[int, str]]:
        self._stop.set()
        for asking in self._asking:
            asking.result(30)
        self._pool.shutdown()
        return self.answers


class TestVersions:
    @pytest.mark.parametrize("way", ["a call", "SIGHUP", "watching"])
    def test_a_new_version_takes_over_and_no_request_is_lost(
        self, start: Any, versions: Path, model_folder: Path, keys: Any, way: str
    ) -> None:
        file, predicts, admin = keys
        watch = 0.2 if way == "watching" else 0
        service = start(versions, api_keys_file=file, watch_seconds=watch)
        service.client.headers.update(predicts)
        with Asking(service.client) as asking:
            for version in ("2", "3"):
                put(model_folder, versions, version)
                if way == "a call":
                    answer = service.client.post("/models/m/reload", headers=admin)
                    assert answer.json()["loaded"] == [version]
                elif way == "SIGHUP":
                    service.process.send_signal(signal.SIGHUP)
                wait_for(lambda version=version: asking.answers[-1][1] == version)
        assert {status for status, _ in asking.answers} == {200}
        assert {version for _, version in asking.answers} == {"1", "2", "3"}

    def test_versions_are_changed_by_admins_only(
        self, start: Any, versions: Path, model_folder: Path, keys: Any
    ) -> None:
        file, predicts, admin = keys
        put(model_folder, versions, "2")
        client = start(versions, api_keys_file=file).client

        def versions_of(headers: dict[str, str] = predicts) -> dict[str, float]:
            told = client.get("/models/m", headers=headers).json()
            return {one["version"]: one["traffic"] for one in told["versions"]}

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
            ({"shares": {}}, 422),
            ({"shares": {"9": 1}}, 404),
            ({"share": {}}, 422),
            ({"shares": None}, 200),
        ):
            answer = client.put("/models/m/traffic", json=shares, headers=admin)
            assert answer.status_code == status, shares

    def test_a_version_that_does_not_load_is_told_and_changes_nothing(
        self, start: Any, versions: Path, model_folder: Path, keys: Any
    ) -> None:
        file, predicts, admin = keys
        client = start(versions, api_keys_file=file).client
        put(model_folder, versions, "2")
        (versions / "2" / "config.json").write_text("{}")
        answer = client.post("/models/m/reload", headers=admin)
        assert answer.status_code == 409
        assert "config.json" in answer.json()["detail"]
        told = client.get("/models/m", headers=predicts).json()["versions"]
        assert [(one["version"], one["state"]) for one in told] == [("1", "ready"), ("2", "failed")]
        answer = client.post("/predict", json=BODY, headers=predicts)
        assert answer.headers["gatewise-version"] == "1"


class TestLimits:
    def test_a_queue_that_is_full_a_deadline_and_a_client_that_goes(
        self, start: Any, model_folder: Path
    ) -> None:
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
        # What is late is not out of the queue before a thread looks at it.
        wait_for(lambda: service.client.post("/predict", json=BODY).status_code == 200)

    def test_what_a_client_asked_that_has_gone_is_dropped(
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

    def test_texts_that_were_cut_are_told(self, start: Any, model_folder: Path) -> None:
        client = start(model_folder).client
        texts = ["who", "where is it " * 2000, "how many " * 2000]
        answer = client.post("/predict", json={"inputs": texts})
        assert answer.headers["gatewise-truncated-texts"] == "2"
        assert "gatewise-truncated-texts" not in client.post("/predict", json=BODY).headers

    def test_a_service_that_drains_is_no_longer_ready_but_answers(
        self, start: Any, model_folder: Path
    ) -> None:
        service = start(model_folder, drain_seconds=2)
        assert service.client.get("/health/ready").status_code == 200
        service.process.terminate()
        wait_for(lambda: service.client.get("/health/ready").status_code == 503)
        assert service.client.post("/predict", json=BODY).status_code == 200
        assert service.process.wait(30) == 0


class TestProcesses:
    def test_one_that_dies_is_replaced_and_all_follow_a_change(
        self, start: Any, versions: Path, model_folder: Path, keys: Any
    ) -> None:
        file, predicts, admin = keys
        put(model_folder, versions, "2")
        service = start("--workers", "2", versions, api_keys_file=file)

        def ask(path: str = "/predict") -> httpx.Response:
            # A connection of its own: another process may take it.
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
        # The new one was told what the others were told before it was there.
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

    def test_they_make_changes_in_the_order_they_were_asked_for(
        self, start: Any, model_folder: Path, versions: Path, keys: Any
    ) -> None:
        file, predicts, admin = keys
        service = start("--workers", "2", versions, api_keys_file=file)
        for version in ("2", "3"):
            put(model_folder, versions, version)
        # By one connection, and so by one process; loading two versions takes the other a while.
        assert service.client.post("/models/m/reload", headers=admin).is_success
        share = {"shares": {"1": 3, "2": 1}}
        assert service.client.put("/models/m/traffic", json=share, headers=admin).is_success
        assert service.client.delete("/models/m/versions/3", headers=admin).is_success

        def told() -> set[tuple[tuple[str, float], ...]]:
            answers = [
                httpx.get(f"{service.url}/models/m", headers=predicts, trust_env=False).json()
                for _ in range(20)
            ]
            return {
                tuple((one["version"], one["traffic"]) for one in answer["versions"])
                for answer in answers
            }

        wait_for(lambda: told() == {(("1", 0.75), ("2", 0.25))})
        # One that is made anew is told of shares that name a version which is gone since.
        shutil.rmtree(versions / "2")
        assert service.client.post("/models/m/reload", headers=admin).is_success
        put(model_folder, versions, "4")
        assert service.client.post("/models/m/reload", headers=admin).is_success
        wait_for(lambda: told() == {(("1", 1.0), ("4", 0.0))})
        os.kill(children(service.process.pid)[0], signal.SIGKILL)
        wait_for(lambda: len(children(service.process.pid)) == 2)
        time.sleep(3)
        assert told() == {(("1", 1.0), ("4", 0.0))}
        _, rest = service.stop()
        assert "has no version" not in rest

    def test_they_end_when_the_one_that_looks_after_them_does(
        self, start: Any, model_folder: Path
    ) -> None:
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
    return [int(one) for one in found.stdout.split()]


def is_alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


class TestLog:
    def test_lines_of_json(self, start: Any, model_folder: Path) -> None:
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

    def test_texts_only_when_asked_for(self, start: Any, model_folder: Path) -> None:
        service = start(model_folder, access_log="true", log_texts="true")
        service.client.post("/predict", json={"inputs": ["a text\nof two lines"]})
        line = service.next_line()
        assert line.endswith('texts=["a text\\nof two lines"]\n')
        tensor = {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["another one"]}
        (name,) = (one["name"] for one in service.client.get("/models").json()["models"])
        service.next_line()
        service.client.post(f"/v2/models/{name}/infer", json={"inputs": [tensor]})
        assert service.next_line().endswith('texts=["another one"]\n')

    def test_a_path_is_logged_and_told_in_short(self, start: Any, model_folder: Path) -> None:
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
    def test_https_and_a_certificate_that_is_exchanged(
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
    def test_files_that_are_none_end_the_start(
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
    """A collector of OpenTelemetry's traces on the loopback: its address, and what it was sent."""
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


def test_requests_are_traced_when_asked_for(
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
