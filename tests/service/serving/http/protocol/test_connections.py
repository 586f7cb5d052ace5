"""Clients that are too many, too slow, or send no end of headers; over real sockets."""

import contextlib
import json
import socket
import time

import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gatewise.service.serving import app
from gatewise.service.serving.http.protocol import connections
from gatewise.service.serving.http.protocol.connections import Connection
from gatewise.service.serving.http.routes import monitoring

BODY = b'{"inputs": "who"}'
HEAD = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
GOOD = HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
READY = b"GET /health/ready HTTP/1.1\r\n"
LAST = READY + b"Connection: close\r\n\r\n"
UPGRADE = b"Connection: Upgrade\r\nUpgrade: %b\r\n"
READ_SECONDS = 0.8


@pytest.fixture(scope="module")
def port(serve_app, make_app):
    """The port of one service for all kinds of clients: none breaks it."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(app, "_REPEAT_SECONDS", 0.05)
        patched.setattr(connections, "_LINGER_SECONDS", 0.5)
        limits = {"read_seconds": READ_SECONDS, "max_connections": 10, "max_header_bytes": 2000}
        yield serve_app(make_app(keep_alive_seconds=2, **limits)).base_url.port


@pytest.fixture(scope="module")
def busy(serve_app, make_app):
    """A client of a service that takes one request at a time."""
    return serve_app(make_app(max_requests=1, max_header_bytes=1000))


@pytest.fixture(autouse=True)
def no_fault(request, caplog):
    yield
    assert "Traceback" not in caplog.text
    if "port" in request.fixturenames:
        with connect(request.getfixturevalue("port")) as connection:
            assert ask(connection) == 200


def connect(port):
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def status_of(answer):
    return int(answer.split(b" ", 2)[1])


def read_all(connection):
    """Whatever comes until the service closes the connection."""
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def ask(connection, request=GOOD):
    """The status of the answer to one request, all of which is read."""
    connection.sendall(request)
    answer = connection.recv(65536)
    head, _, body = answer.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r", 1)[0])
    while len(body) < length:
        body += connection.recv(65536)
    return status_of(answer)


def send_until_closed(connection, data, pause=0.0):
    """Sends data again and again, until the service closes the connection."""
    until = time.monotonic() + 20
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        while True:
            connection.sendall(data)
            assert time.monotonic() < until, "the connection is still open"
            time.sleep(pause)


def test_incomplete_requests_time_out(port):
    begun = [b"", HEAD, HEAD + b"Content-Length: 1000\r\n\r\n" + BODY]
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(connect(port)) for _ in begun]
        dripping = stack.enter_context(connect(port))
        for connection, data in zip(opened, begun, strict=True):
            connection.sendall(data)
        dripping.sendall(HEAD)
        send_until_closed(dripping, b"X-A: b\r\n", pause=0.05)
        assert READ_SECONDS < time.monotonic() - started < 10
        for connection in opened:
            answer = read_all(connection)
            assert status_of(answer) == 408
            assert b"urn:gatewise:problem:request-timeout" in answer


@pytest.mark.parametrize(
    ("headers", "limit"),
    [
        (b"X-A: " + b"a" * 3000, "2000 bytes of headers"),
        (b"X: \r\n" * 300, "200 headers"),
        (b"X" * 5000, "2000 bytes of headers"),
    ],
    ids=["long", "many", "no end"],
)
def test_headers_that_are_too_large_are_refused(port, headers, limit):
    with connect(port) as connection:
        connection.sendall(HEAD + headers)
        answer = read_all(connection)
    assert status_of(answer) == 431
    document = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert document["type"] == "urn:gatewise:problem:request-header-fields-too-large"
    assert document["detail"] == f"expected at most {limit}"


@pytest.mark.parametrize(
    "tail",
    [b"0\r\n" + b"X-A: b\r\n" * 10_000, b"0\r\nX-A: " + b"b" * 100_000, b"1;" + b"a" * 100_000],
    ids=["trailers", "a long trailer", "a chunk extension"],
)
def test_trailers_and_chunk_extensions_are_limited(port, tail):
    with connect(port) as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        for start in range(0, len(tail), 5000):
            connection.sendall(tail[start : start + 5000])
        assert status_of(read_all(connection)) == 431


def test_headers_may_come_in_pieces_and_a_large_body_does_not_count_as_headers(port):
    text = json.dumps({"inputs": "who " * 20_000}).encode()
    with connect(port) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\n")
        for number in range(6):
            time.sleep(0.02)
            connection.sendall(b"X-%d: %b\r\n" % (number, b"a" * 250))
        assert ask(connection, b"Content-Length: %d\r\n\r\n%b" % (len(text), text)) == 200


def test_a_trailer_does_not_count_as_a_header(serve_app, make_app, keys):
    port = serve_app(make_app(api_keys_file=keys.file)).base_url.port
    authorization = b"Authorization: %b\r\n" % keys.predict["Authorization"].encode()
    chunked = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n" % (len(BODY), BODY)
    with connect(port) as connection:
        assert ask(connection, HEAD + authorization + chunked + b"\r\n") == 200
        assert ask(connection, HEAD + chunked + authorization + b"\r\n") == 401


def test_a_connection_above_the_limit_is_refused(port, wait_until):
    def is_refused(connection):
        connection.settimeout(0.2)
        try:
            answer = connection.recv(65536)
        except TimeoutError:
            return False
        assert status_of(answer) == 503
        assert b"retry-after: 1" in answer
        return True

    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(connect(port)) for _ in range(9)]
        assert [ask(connection) for connection in opened] == [200] * 9
        wait_until(lambda: is_refused(stack.enter_context(connect(port))))
        assert [ask(connection) for connection in opened] == [200] * 9

    def is_free():
        with connect(port) as connection:
            return not is_refused(connection)

    wait_until(is_free)


def test_an_idle_connection_is_kept_for_a_while(port):
    with connect(port) as connection:
        assert ask(connection) == 200
        time.sleep(READ_SECONDS + 0.2)  # longer than a request may take
        assert ask(connection) == 200
        assert read_all(connection) == b""


def test_a_client_that_does_not_read_its_answer_is_closed(port):
    texts = json.dumps({"inputs": ["who"] * 128}).encode()
    request = HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(texts), texts)
    with socket.socket() as connection:
        # Before it is connected, or the window is as large as ever.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(20)
        connection.connect(("127.0.0.1", port))
        send_until_closed(connection, request)


def test_data_that_is_not_http_is_refused(port):
    with connect(port) as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n")
        assert status_of(read_all(connection)) == 400


def test_an_error_is_not_sent_in_place_of_an_answer(port):
    body = json.dumps({"inputs": ["who " * 2000] * 20}).encode()
    with connect(port) as connection:
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        time.sleep(0.02)  # the request is running
        connection.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        with contextlib.suppress(OSError):
            # The error of what follows may come after the answer, on a fast machine.
            assert not read_all(connection).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("protocol", [b"websocket", b"h2c"])
def test_an_upgrade_of_a_post_is_ignored(port, protocol):
    pieces = [HEAD + b"Connection: Upgrade\r\n", b"Upgrade: %b\r\n" % protocol]
    pieces += [b"Content-Length: %d\r\n\r\n" % len(BODY), BODY + GOOD + LAST]
    for pause in (0, 0.05):
        with connect(port) as connection:
            for piece in [b"".join(pieces)] if pause == 0 else pieces:
                connection.sendall(piece)
                time.sleep(pause)
            assert read_all(connection).count(b"HTTP/1.1 200 OK") == 3


@pytest.mark.parametrize(
    "headers",
    [
        b"Connection: Upgrade\r\nConnection: keep-alive\r\nUpgrade: websocket\r\n",
        b"Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n",
    ],
)
def test_the_last_header_of_a_name_decides_about_an_upgrade(port, headers):
    with connect(port) as connection:
        assert [ask(connection, READY + headers + b"\r\n") for _ in range(2)] == [200, 200]


def test_a_stream_does_not_begin_before_an_earlier_answer_ends(port):
    handshake = b"GET /stream HTTP/1.1\r\nHost: a\r\n" + UPGRADE % b"websocket"
    handshake += b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    with connect(port) as connection:
        connection.sendall(GOOD + handshake)
        assert b"101" not in read_all(connection)


class TestPipelining:
    def test_requests_are_answered_in_order(self, port):
        last = b"GET /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        with connect(port) as connection:
            connection.sendall(GOOD + READY + b"\r\n" + GOOD + last)
            answer = read_all(connection)
        statuses = [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]
        assert statuses == [200, 200, 200, 404]

    @pytest.mark.parametrize("count", [2, 900])
    def test_requests_with_an_upgrade_are_answered(self, port, count):
        post = GOOD.replace(b"Host: a\r\n", b"X-Long: %b\r\n" % (b"a" * 99) + UPGRADE % b"h2c")
        health = READY + UPGRADE % b"h2c" + b"\r\n"
        with connect(port) as connection:
            connection.sendall(post * 2 + health * (count - 2) + LAST)
            assert read_all(connection).count(b"HTTP/1.1 200 OK") == count + 1

    def test_requests_are_limited(self, port):
        answers = b""
        with connect(port) as connection, contextlib.suppress(OSError):
            # It may be closed before all are sent.
            connection.sendall(GOOD[:-1])
            connection.sendall(GOOD[-1:] + (READY + b"\r\n") * 5000)
            answers = read_all(connection)
        assert answers.count(b"HTTP/1.1 ") < 2000

    def test_requests_count_one_at_a_time(self, busy):
        with connect(busy.base_url.port) as connection:
            connection.sendall(GOOD * 5 + LAST)
            assert read_all(connection).count(b"HTTP/1.1 200 OK") == 6


def test_requests_above_the_limit_are_refused_and_their_connections_kept(busy, monkeypatch, caplog):
    with connect(busy.base_url.port) as held, connect(busy.base_url.port) as pipelined:
        held.sendall(GOOD[:-1])  # in flight, without the end of the body
        refused = busy.get("/health/ready")
        inference = busy.post("/v2/models/model/infer", json={})
        head = busy.head("/health/ready")
        again = busy.get("/health/ready")  # on the same connection: HEAD had no body
        assert [answer.status_code for answer in (refused, inference, head, again)] == [429] * 4
        assert busy.get("/health/live").status_code == 200  # it must not be restarted
        pipelined.sendall(GOOD + (READY + b"\r\n") * 900 + LAST)
        assert read_all(pipelined).count(b"HTTP/1.1 429 ") == 902
        assert ask(held, GOOD[-1:]) == 200
    assert refused.json()["type"] == "urn:gatewise:problem:too-many-requests"
    assert refused.headers["retry-after"] == "1"
    assert inference.json().keys() == {"error"}
    assert head.content == b""
    # A request that fails is no longer in flight.
    with monkeypatch.context() as patched:
        patched.setattr(monitoring, "app_context", lambda request: 1 / 0)
        assert busy.get("/metrics").status_code == 500
    assert busy.get("/metrics").status_code == 200
    caplog.clear()
    too_large = busy.get("/health/ready", headers={"X-A": "b" * 2000})
    assert too_large.status_code == 431
    for answer in (refused, inference, head, too_large):
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_client_that_sends_a_large_body_first_reads_the_refusal(port):
    size = 50_000_000
    with connect(port) as connection:
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % size)
        for _ in range(size // 1_000_000):
            connection.sendall(b" " * 1_000_000)
        assert status_of(read_all(connection)) == 413


def test_a_refused_body_without_end_is_closed(port):
    with connect(port) as connection:
        connection.sendall(HEAD + b"Content-Length: 1000000000000\r\n\r\n")
        send_until_closed(connection, b" " * 1_000_000)


def test_nothing_private_of_uvicorn_is_overridden():
    own = {name for name in vars(Connection) if name.startswith("_") and not name.endswith("__")}
    assert own
    assert not own & set(dir(HttpToolsProtocol))
