"""`gatewise serve` as a process: start, signals, versions, workers, TLS."""

import asyncio
import gc
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import numpy as np
import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from gatewise.service.model.classifier import Classifier
from gatewise.service.model.errors import ModelFolderError
from gatewise.service.serving import server
from gatewise.service.serving.http.protocol.certificates import CertificateError
from gatewise.service.serving.listen_socket import ListenError, handles, listen
from gatewise.service.serving.server import UvicornProcess, load, serve
from gatewise.service.serving.settings import Settings

BODY = {"inputs": "where is the station"}


def test_a_process_serves_until_a_signal_and_answers_the_requests_in_flight(
    start, model_folder, wait_until
):
    service = start(model_folder, drain_seconds=1)
    assert re.search(
        rf"INFO serving languages={model_folder} at http://\S+, ready after \d+\.\d\d s\n",
        service.first_line,
    )
    client = service.client
    seconds = sorted(client.post("/predict", json=BODY).elapsed.total_seconds() for _ in range(21))
    # With Nagle's algorithm each takes 40 ms: the kernel holds back the second part of an answer.
    assert seconds[10] < 0.03
    body = json.dumps(BODY).encode()
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as in_flight:
        in_flight.sendall(b"POST /predict HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body))
        assert client.get("/health/ready").status_code == 200
        service.process.terminate()
        # While it drains it is not ready, but answers.
        wait_until(lambda: client.get("/health/ready").status_code == 503)
        assert client.post("/predict", json=BODY).status_code == 200
        wait_until(lambda: not is_listening(service.port))
        in_flight.sendall(body)
        assert in_flight.recv(65536).startswith(b"HTTP/1.1 200 ")
    output, rest = service.process.communicate(timeout=20)
    assert (service.process.returncode, output) == (0, "")
    assert [line.partition(" INFO ")[2] for line in rest.splitlines()] == [
        "draining: not ready, stops in 1 s",
        "stopping: 1 requests in flight have 10 s",
        "drained: 0 requests are unanswered",
        "stopped",
    ]


def test_with_the_cascade_texts_have_the_scores_of_score_cascade(start, cascading):
    folder, texts, expected, linear = cascading
    client = start(folder, cascade="true").client
    labels = Classifier.load(folder).classes_

    def scores(inputs):
        answer = client.post("/predict", json={"inputs": inputs, "parameters": {"top_k": 100}})
        found = [{each["label"]: each["score"] for each in row} for row in answer.json()]
        return np.float32([[row[label] for label in labels] for row in found])

    np.testing.assert_array_equal(scores(texts), expected)
    # Each has its own, whatever texts are beside it.
    np.testing.assert_array_equal([scores([text])[0] for text in texts], expected)
    metrics = client.get("/metrics").text.splitlines()
    (line,) = (line for line in metrics if line.startswith("gatewise_linear_texts_total{"))
    assert float(line.rpartition(" ")[2]) == 2 * linear
    tensor = {"name": "text", "shape": [len(texts)], "datatype": "BYTES", "data": texts}
    answer = client.post(f"/v2/models/{folder.name}/infer", json={"inputs": [tensor]}).json()
    best = {output["name"]: output["data"] for output in answer["outputs"]}["score"]
    assert np.float32(best).tolist() == expected.max(axis=1).tolist()


def test_a_model_without_a_cascade_is_refused_at_the_start(gatewise, folder_with, monkeypatch):
    folder = folder_with(cascade=None)
    monkeypatch.setenv("GATEWISE_CASCADE", "true")
    ended = gatewise("serve", folder, "--port", 0)
    assert ended.code == 1
    (line,) = ended.stderr.splitlines()
    assert f"{folder}: cascade: the model has none" in line


@pytest.mark.anyio
async def test_regular_work_goes_on_after_errors_of_which_one_of_each_type_is_logged(
    monkeypatch, caplog
):
    monkeypatch.setattr(server, "_REPEAT_SECONDS", 0)
    outcomes = [OSError("a"), None, OSError("b"), ValueError("c"), asyncio.CancelledError()]

    def work():
        outcome = outcomes.pop(0)
        if outcome:
            raise outcome

    with pytest.raises(asyncio.CancelledError):
        await server.repeat(work, "updating the gauges")
    assert outcomes == []
    assert [record.exc_info[0] for record in caplog.records] == [OSError, ValueError]
    assert caplog.text.count("updating the gauges failed, and is tried again every 0 s") == 2


def is_listening(port):
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("no-such-host.invalid", "no such host; choose"),
        ("a" * 100, "no such host; choose"),
        ("192.0.2.1", "Cannot assign requested address; choose"),
    ],
)
def test_a_host_that_it_cannot_listen_on(host, reason):
    with pytest.raises(ListenError, match=f"cannot listen on {host}:0: {reason}"):
        listen(host, 0)


@pytest.mark.skipif(os.name != "posix", reason="uvloop is for POSIX systems")
def test_a_turn_of_the_event_loop_accepts_several_connections():
    async def accepted_a_turn():
        turn, turns = 0, []

        class Accepted(asyncio.Protocol):
            def connection_made(self, transport):
                turns.append(turn)
                transport.close()

        with ExitStack() as stack:
            listener = stack.enter_context(listen("127.0.0.1", 0))
            for handle in handles(listener):
                server = await asyncio.get_running_loop().create_server(Accepted, sock=handle)
                stack.callback(server.close)
            for _ in range(40):
                stack.enter_context(socket.create_connection(listener.getsockname()))
            while len(turns) < 40:
                turn += 1
                await asyncio.sleep(0)
        return max(Counter(turns).values())

    assert uvloop.run(accepted_a_turn()) >= 16


@pytest.mark.skipif(os.name != "posix", reason="uvloop is for POSIX systems")
def test_a_worker_that_starts_leaves_accepting_in_the_others_as_it_is():
    with ExitStack() as stack:
        accepting = stack.enter_context(listen("127.0.0.1", 0))
        accepting.setblocking(False)
        # As a worker gets it: Python does not know that it is not to block.
        starting = stack.enter_context(socket.socket(fileno=os.dup(accepting.fileno())))
        for handle in handles(starting):
            stack.enter_context(handle)
        assert not os.get_blocking(accepting.fileno())


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_an_ipv6_address():
    try:
        listener = listen("::1", 0)
    except ListenError:
        pytest.skip("the loopback has no IPv6 address")
    with listener:
        assert listener.family == socket.AF_INET6


def test_garbage_is_collected_once_the_server_runs(serve_app, model_folder):
    app = load(Settings(model=[str(model_folder)]), UvicornProcess())
    gc.disable()  # as the command does before it imports the server
    client = serve_app(app)
    assert gc.isenabled()
    assert client.post("/predict", json=BODY).status_code == 200


def test_the_certificate_and_the_model_are_checked_before_the_port_is_bound(tmp_path):
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ListenError, match=f"127.0.0.1:{port}: Address already in use; choose"):
            listen("127.0.0.1", port)
        settings = Settings(model=tmp_path / "nothing", port=port)
        with pytest.raises(ModelFolderError) as refused:
            serve(settings)
        assert "\n" not in str(refused.value)
        file = tmp_path / "certificate.pem"
        secured = settings.model_copy(update={"tls_certificate": file})
        with pytest.raises(CertificateError, match=f"^{file}: cannot be read: No such file"):
            serve(secured)
        file.write_text("no certificate")
        with pytest.raises(CertificateError, match=f"^{file}: expected a certificate chain"):
            serve(secured)


def test_a_new_version_takes_over_under_load_without_a_lost_request(
    start, versions, model_folder, keys, put, load, wait_until
):
    service = start(versions, api_keys_file=keys.file, log_format="json")
    service.client.headers.update(keys.predict)
    with load(service.client) as answers:
        wait_until(lambda: answers)
        put(model_folder, versions / "2")
        answer = service.client.post("/models/m/reload", headers=keys.admin)
        assert answer.json()["loaded"] == ["2"]
        wait_until(lambda: answers[-1][1] == "2")
        put(model_folder, versions / "3")
        shutil.rmtree(versions / "1")
        service.process.send_signal(signal.SIGHUP)
        wait_until(lambda: answers[-1][1] == "3")
        wait_until(lambda: len(service.client.get("/models/m").json()["versions"]) == 2)
    assert {status for status, _ in answers} == {200}
    assert {version for _, version in answers} == {"1", "2", "3"}
    service.process.send_signal(signal.SIGINT)
    _, log = service.process.communicate(timeout=30)
    assert service.process.returncode == 0
    lines = [json.loads(line) for line in log.splitlines()]
    assert "version 1 of m is no longer served" in [line.get("message") for line in lines]
    audited = [(one["audit"], one["by"], one["loaded"]) for one in lines if "audit" in one]
    assert audited == [("reload", "admin", ["2"]), ("reload", "SIGHUP", ["3"])]


def test_a_refused_web_socket_is_no_error_of_the_service(start, model_folder):
    service = start(model_folder)
    with pytest.raises(InvalidStatus, match="404"):
        connect(f"ws://127.0.0.1:{service.port}/nowhere", proxy=None)
    code, _, log = service.stop()
    assert code == 0
    assert " ERROR " not in log


class TestWorkers:
    def test_workers_share_changes_and_are_replaced(
        self, start, model_folder, versions, keys, put, wait_until
    ):
        service = start("--workers", "2", versions, api_keys_file=keys.file)
        admin = httpx.Client(base_url=service.url, headers=keys.admin, trust_env=False, timeout=30)

        def each(path, body=None):
            """Answers to new connections, which any worker may accept."""
            method = "POST" if body else "GET"
            url = service.url + path
            return [
                httpx.request(
                    method, url, json=body, headers=keys.predict, trust_env=False, timeout=30
                )
                for _ in range(20)
            ]

        def shares_seen():
            return {
                tuple((one["version"], one["traffic"]) for one in answer.json()["versions"])
                for answer in each("/models/m")
            }

        for version in ("2", "3"):
            put(model_folder, versions / version)
        with admin:
            # On one connection, and so by one worker; the other takes a while to load two versions.
            assert admin.post("/models/m/reload").is_success
            assert admin.put("/models/m/traffic", json={"shares": {"1": 3, "2": 1}}).is_success
            assert admin.delete("/models/m/versions/3").is_success
            wait_until(lambda: shares_seen() == {(("1", 0.75), ("2", 0.25))})
            # A new worker gets shares that name a version which is gone by now.
            shutil.rmtree(versions / "2")
            assert admin.post("/models/m/reload").is_success
            put(model_folder, versions / "4")
            assert admin.post("/models/m/reload").is_success
            wait_until(lambda: shares_seen() == {(("1", 1.0), ("4", 0.0))})
        each("/predict", BODY)
        killed = children(service.process.pid)
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        # Until it is gone, one may accept a connection that it then resets.
        wait_until(lambda: not {*killed} & {*children(service.process.pid)})
        # Now the new workers answer.
        wait_until(lambda: shares_seen() == {(("1", 1.0), ("4", 0.0))})
        answers = each("/predict", BODY)
        assert {answer.headers["gatewise-version"] for answer in answers} == {"1"}
        (metrics, *_) = each("/metrics")
        pattern = r'^gatewise_requests_total\{.*"/predict".*\} (\S+)$'
        counts = re.findall(pattern, metrics.text, re.MULTILINE)
        assert sum(map(float, counts)) == 40  # of all processes, the former ones too
        code, output, rest = service.stop()
        assert (code, output) == (0, "")
        assert rest.count(" ended with code -9: replaced") == 2
        assert "has no version" not in rest
        assert "Traceback" not in rest

    def test_a_worker_shows_the_gauges_of_all(self, start, model_folder, wait_until):
        service = start("--workers", "2", model_folder)

        def shown():
            """The open connections as one of the workers shows them."""
            metrics = service.client.get("/metrics").text
            return float(re.search(r"^gatewise_connections (\S+)$", metrics, re.MULTILINE)[1])

        address = ("127.0.0.1", service.port)
        with ExitStack() as stack:
            # So many that both accept some.
            for _ in range(60):
                stack.enter_context(socket.create_connection(address))
            wait_until(lambda: shown() == 61)
        wait_until(lambda: shown() == 1)

    def test_workers_end_with_their_supervisor(self, start, model_folder, wait_until):
        service = start("--workers", "2", model_folder)
        workers = children(service.process.pid)
        assert len(workers) == 2
        service.process.kill()
        wait_until(lambda: not any(is_alive(pid) for pid in workers))

    def test_a_model_that_cannot_be_loaded_ends_the_start(self, tmp_path):
        command = [sys.executable, "-m", "gatewise", "serve", "--port", "0", "--workers", "2"]
        ended = subprocess.run(
            [*command, tmp_path], capture_output=True, text=True, timeout=60, check=False
        )
        assert ended.returncode == 1
        assert "not a Gatewise model folder" in ended.stderr
        assert "Traceback" not in ended.stderr


def children(pid):
    found = subprocess.run(
        ["pgrep", "-P", str(pid), "-f", "spawn_main"], capture_output=True, text=True, check=False
    )
    return [int(child) for child in found.stdout.split()]


def is_alive(pid):
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def write_certificate(file):
    """Writes a new certificate of `localhost` with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, private = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    file.write_bytes(
        signed.public_bytes(pem) + key.private_bytes(pem, private, serialization.NoEncryption())
    )


def test_https_and_a_new_certificate(start, model_folder, tmp_path, wait_until):
    file = tmp_path / "certificate.pem"
    write_certificate(file)
    service = start(model_folder, tls_certificate=file)
    assert service.url.startswith("https://127.0.0.1:")

    def is_trusted():
        trusted = ssl.create_default_context(cafile=str(file))
        url = f"https://localhost:{service.port}/predict"
        try:
            answer = httpx.post(url, json=BODY, verify=trusted, trust_env=False)
        except httpx.ConnectError:
            return False
        return answer.status_code == 200

    assert is_trusted()
    write_certificate(file)
    assert not is_trusted()
    service.process.send_signal(signal.SIGHUP)
    wait_until(is_trusted)
    assert 'audit="reload" by="SIGHUP"' in service.next_line()
    good = file.read_bytes()
    file.write_text("no certificate")
    service.process.send_signal(signal.SIGHUP)
    assert "the certificate stays as it was" in service.next_line()
    file.write_bytes(good)
    assert is_trusted()
