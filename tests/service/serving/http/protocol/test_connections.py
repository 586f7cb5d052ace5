"""Clients that are too many, too slow, or send no end of headers; over real sockets."""

import contextlib
import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gatewise.service.serving.http.auth import api_keys
from gatewise.service.serving.http.auth.api_keys import Role, make_key
from gatewise.service.serving.http.protocol.connections import Connection

BODY = b'{"inputs": "who"}'
HEAD = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
GOOD = HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(BODY), BODY)


@pytest.fixture(scope="module")
def service(start_shared: Callable[..., Any]) -> Iterator[Any]:
    """One service for all of them, as a real one has all kinds of clients: none breaks it."""
    service = start_shared(
        read_seconds=1.5, max_connections=10, max_header_bytes=2000, keep_alive_seconds=3
    )
    yield service
    code, log = service.stop()
    assert (code, "Traceback" in log) == (0, False), log


def connect(service: Any) -> socket.socket:
    return socket.create_connection(("127.0.0.1", service.port), timeout=20)


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def read_all(connection: socket.socket) -> bytes:
    """Whatever comes until the service closes the connection."""
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def ask(connection: socket.socket, request: bytes = GOOD) -> int:
    """The status of the answer to one request, all of which is read."""
    connection.sendall(request)
    answer = connection.recv(65536)
    head, _, body = answer.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r", 1)[0])
    while len(body) < length:
        body += connection.recv(65536)
    return status_of(answer)


def assert_well(service: Any) -> None:
    assert service.client.post("/predict", json={"inputs": "who"}).status_code == 200


@pytest.mark.parametrize(
    "begun",
    [b"", HEAD, HEAD + b"Content-Length: 1000\r\n\r\n" + BODY],
    ids=["nothing", "headers", "a body"],
)
def test_an_incomplete_request_times_out(service: Any, begun: bytes) -> None:
    with connect(service) as connection:
        connection.sendall(begun)
        started = time.monotonic()
        answer = read_all(connection)
        assert 1 < time.monotonic() - started < 10
    assert status_of(answer) == 408
    assert_well(service)


def test_a_request_that_drips_times_out(service: Any) -> None:
    with connect(service) as connection:
        connection.sendall(HEAD)
        answer = b""
        for _ in range(100):
            try:
                connection.sendall(b"X-A: b\r\n")
            except OSError:
                break
            time.sleep(0.1)
        connection.settimeout(5)
        try:
            answer = connection.recv(65536)
        except OSError:
            answer = b""
    assert answer == b"" or status_of(answer) == 408
    assert_well(service)


@pytest.mark.parametrize(
    "headers",
    [b"X-A: " + b"a" * 3000, b"X-A: b\r\n" * 300, b"X" * 5000],
    ids=["long", "many", "no end"],
)
def test_headers_that_are_too_large_are_refused(service: Any, headers: bytes) -> None:
    with connect(service) as connection:
        connection.sendall(HEAD + headers)
        answer = read_all(connection) if not headers.endswith(b"\n") else b""
        if not answer:
            connection.sendall(b"\r\n")
            answer = read_all(connection)
    assert status_of(answer) == 431
    document = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert document["type"] == "urn:gatewise:problem:request-header-fields-too-large"
    assert_well(service)


def test_a_large_body_does_not_count_as_headers(service: Any) -> None:
    text = json.dumps({"inputs": "who " * 20_000})
    assert service.client.post("/predict", content=text).status_code == 200


def test_a_connection_above_the_limit_is_refused(service: Any) -> None:
    open_ones = [connect(service) for _ in range(10)]
    time.sleep(0.3)
    with connect(service) as above_limit:
        answer = read_all(above_limit)
    assert status_of(answer) == 503
    assert b"retry-after: 1" in answer
    assert ask(open_ones[3]) == 200
    for connection in open_ones:
        connection.close()
    time.sleep(0.3)
    assert_well(service)


def test_an_idle_connection_is_kept_for_a_while(service: Any) -> None:
    with connect(service) as connection:
        for _ in range(3):
            assert ask(connection) == 200
            time.sleep(2)  # longer than a request may take
        assert read_all(connection) == b""


def test_pipelined_requests_are_answered_in_order(service: Any) -> None:
    with connect(service) as connection:
        health = b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n"
        last = b"GET /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        connection.sendall(GOOD + health + GOOD + last)
        answer = read_all(connection)
    statuses = [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [200, 200, 200, 404]


def test_a_client_that_does_not_read_its_answer_is_closed(service: Any) -> None:
    texts = json.dumps({"inputs": ["who"] * 128}).encode()
    request = HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(texts), texts)
    with socket.socket() as connection:
        # Before it is connected, or the window is as large as ever.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", service.port))
        connection.setblocking(False)
        until = time.monotonic() + 25
        closed = False
        while time.monotonic() < until and not closed:
            try:
                connection.send(request)
            except BlockingIOError:
                time.sleep(0.05)
            except OSError:
                closed = True
    assert closed
    assert_well(service)


def test_data_that_is_not_http_is_refused(service: Any) -> None:
    with connect(service) as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n")
        assert status_of(read_all(connection)) == 400
    assert_well(service)


@pytest.mark.parametrize("protocol", [b"websocket", b"h2c"])
def test_an_upgrade_of_a_post_is_ignored(service: Any, protocol: bytes) -> None:
    upgrade = b"Connection: Upgrade\r\nUpgrade: %b\r\n" % protocol
    request = GOOD.replace(b"Host: a\r\n", b"Host: a\r\n" + upgrade)
    with connect(service) as connection:
        assert ask(connection, request) == 200
    assert_well(service)


def test_a_request_above_the_limit_is_refused_and_its_connection_kept(
    start: Callable[..., Any],
) -> None:
    service = start(max_requests=2, read_seconds=30)
    held = [connect(service) for _ in range(2)]
    for connection in held:
        connection.sendall(GOOD[: -len(BODY)])  # in flight, without the end of the body
    time.sleep(0.3)
    with connect(service) as above_limit:
        for _ in range(3):
            assert ask(above_limit) == 429
        for connection in held:
            assert ask(connection, BODY) == 200
            connection.close()
        assert ask(above_limit) == 200


def test_headers_may_come_in_pieces(service: Any) -> None:
    with connect(service) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\n")
        for number in range(6):
            time.sleep(0.05)
            connection.sendall(b"X-%d: %b\r\n" % (number, b"a" * 250))
        assert ask(connection, GOOD.partition(b"\r\n")[2]) == 200


@pytest.mark.parametrize(
    "tail",
    [b"0\r\n" + b"X-A: b\r\n" * 10_000, b"0\r\nX-A: " + b"b" * 100_000, b"1;" + b"a" * 100_000],
    ids=["trailers", "a long trailer", "a chunk extension"],
)
def test_trailers_and_chunk_extensions_are_limited(service: Any, tail: bytes) -> None:
    started = time.monotonic()
    with connect(service) as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        time.sleep(0.1)
        for start in range(0, len(tail), 5000):
            connection.sendall(tail[start : start + 5000])
        answer = read_all(connection)
    assert status_of(answer) == 431
    assert time.monotonic() - started < 1.4  # not a timeout
    assert_well(service)


def test_a_trailer_does_not_count_as_a_header(start: Callable[..., Any], tmp_path: Path) -> None:
    key, entry = make_key("website", Role.PREDICT)
    api_keys.add(tmp_path / "keys", entry)
    service = start(api_keys_file=tmp_path / "keys")
    chunked = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n" % (len(BODY), BODY)
    with connect(service) as connection:
        trailer = b"X-API-Key: %b\r\n\r\n" % key.encode()
        assert ask(connection, HEAD + chunked + trailer) == 401


@pytest.mark.parametrize("protocol", [b"websocket", b"h2c"])
def test_an_upgrade_in_pieces_is_ignored(service: Any, protocol: bytes) -> None:
    length = b"Content-Length: %d\r\n\r\n" % len(BODY)
    with connect(service) as connection:
        for piece in (HEAD + b"Connection: Upgrade\r\n", b"Upgrade: %b\r\n" % protocol, length):
            connection.sendall(piece)
            time.sleep(0.1)
        last = b"GET /health/live HTTP/1.1\r\nConnection: close\r\n\r\n"
        connection.sendall(BODY + GOOD + last)
        assert read_all(connection).count(b"HTTP/1.1 200 OK") == 3


@pytest.mark.parametrize("count", [2, 900])
def test_pipelined_requests_with_an_upgrade_are_answered(service: Any, count: int) -> None:
    upgrade = b"Host: a\r\nX-Long: %b\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n" % (b"a" * 99)
    post = GOOD.replace(b"Host: a\r\n", upgrade)
    health = b"GET /health/live HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    last = b"GET /health/live HTTP/1.1\r\nConnection: close\r\n\r\n"
    with connect(service) as connection:
        connection.sendall(post * 2 + health * (count - 2) + last)
        assert read_all(connection).count(b"HTTP/1.1 200 OK") == count + 1


@pytest.mark.parametrize(
    "headers",
    [
        b"Connection: Upgrade\r\nConnection: keep-alive\r\nUpgrade: websocket\r\n",
        b"Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n",
    ],
)
def test_the_last_header_of_a_name_decides_about_an_upgrade(service: Any, headers: bytes) -> None:
    request = b"GET /health/live HTTP/1.1\r\nHost: a\r\n" + headers + b"\r\n"
    with connect(service) as connection:
        assert [ask(connection, request) for _ in range(2)] == [200, 200]


def test_nothing_private_of_uvicorn_is_overridden() -> None:
    own = {name for name in vars(Connection) if name.startswith("_") and not name.endswith("__")}
    assert own
    assert not own & set(dir(HttpToolsProtocol))


def test_a_stream_does_not_begin_before_an_earlier_answer_ends(service: Any) -> None:
    with connect(service) as connection:
        connection.sendall(
            GOOD + b"GET /stream HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n"
            b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert b"101" not in read_all(connection)
    assert_well(service)


def test_many_pipelined_requests_are_refused(start: Callable[..., Any]) -> None:
    service = start(max_requests=1)
    held, many = connect(service), 900
    last = b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"
    with connect(service) as connection:
        # The first waits for its body, and the others wait for the first.
        connection.sendall(GOOD[:-1])
        time.sleep(0.2)
        connection.sendall(GOOD[-1:] + b"GET / HTTP/1.1\r\n\r\n" * many + last)
        time.sleep(0.01)
        held.sendall(GOOD[:-1])
        answers = read_all(connection)
    held.close()
    assert answers.count(b"HTTP/1.1 ") == many + 2
    assert "Traceback" not in service.stop()[1]


def test_pipelined_requests_count_one_at_a_time(
    start: Callable[..., Any],
) -> None:
    service = start(max_requests=1)
    last = b"GET /health/live HTTP/1.1\r\nConnection: close\r\n\r\n"
    with connect(service) as connection:
        connection.sendall(GOOD * 5 + last)
        assert read_all(connection).count(b"HTTP/1.1 200 OK") == 6


def test_the_refusals_of_a_connection_look_like_all_others(
    start: Callable[..., Any],
) -> None:
    service = start(max_requests=1, read_seconds=30, max_header_bytes=1000)
    with connect(service) as held:
        held.sendall(GOOD[:-1])
        time.sleep(0.2)
        refused = service.client.get("/health/live")
        inference = service.client.post("/v2/models/model/infer", json={})
        head = service.client.head("/health/live")
        again = service.client.get("/health/live")  # on the same connection: HEAD had no body
    too_large = service.client.get("/health/live", headers={"X-A": "b" * 2000})
    assert [answer.status_code for answer in (refused, inference, head, again)] == [429] * 4
    assert inference.json().keys() == {"error"}
    assert head.content == b""
    assert too_large.status_code == 431
    for answer in (refused, inference, head, too_large):
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_client_that_sends_a_large_body_first_reads_the_refusal(service: Any) -> None:
    size = 50_000_000
    with connect(service) as connection:
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % size)
        for _ in range(size // 1_000_000):
            connection.sendall(b" " * 1_000_000)
        assert status_of(read_all(connection)) == 413
    assert_well(service)


def test_a_refused_body_without_end_is_closed(service: Any) -> None:
    with connect(service) as connection:
        connection.sendall(HEAD + b"Content-Length: 1000000000000\r\n\r\n")
        started = time.monotonic()
        with contextlib.suppress(OSError):
            while time.monotonic() - started < 10:
                connection.sendall(b" " * 1_000_000)
    assert time.monotonic() - started < 6
    assert_well(service)


def test_pipelined_requests_are_limited(service: Any) -> None:
    with connect(service) as connection:
        connection.sendall(GOOD[:-1])
        time.sleep(0.2)
        answers = b""
        with contextlib.suppress(OSError):  # it may close before all are sent
            connection.sendall(GOOD[-1:] + b"GET /health/live HTTP/1.1\r\n\r\n" * 5000)
            answers = read_all(connection)
    assert answers.count(b"HTTP/1.1 ") < 2000
    assert_well(service)


def test_an_error_is_not_sent_in_place_of_an_answer(service: Any) -> None:
    body = json.dumps({"inputs": ["who " * 2000] * 20}).encode()
    with connect(service) as connection:
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        time.sleep(0.02)  # the request is running
        connection.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        with contextlib.suppress(OSError):
            assert b" 400 " not in read_all(connection)
    assert_well(service)
