"""Clients that are too many, too slow, or send no end of headers; over real sockets."""

import json
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

BODY = b'{"inputs": "who"}'
HEAD = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
GOOD = HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(BODY), BODY)


@pytest.fixture
def service(start: Callable[..., Any]) -> Any:
    return start(read_seconds=1.5, max_connections=10, max_header_bytes=2000, keep_alive_seconds=3)


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
    [b"", b"POST /pre", HEAD, HEAD + b"Content-Length: 1000\r\n\r\n" + BODY],
    ids=["nothing", "a line", "headers", "a body"],
)
def test_a_request_that_does_not_come_is_not_waited_for(service: Any, begun: bytes) -> None:
    with connect(service) as connection:
        connection.sendall(begun)
        started = time.monotonic()
        answer = read_all(connection)
        assert 1 < time.monotonic() - started < 10
    assert status_of(answer) == 408
    assert_well(service)


def test_a_request_that_drips_is_not_waited_for(service: Any) -> None:
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
def test_too_large_headers_are_refused(service: Any, headers: bytes) -> None:
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


def test_a_large_body_behind_small_headers_is_no_header(service: Any) -> None:
    text = json.dumps({"inputs": "who " * 20_000})
    assert service.client.post("/predict", content=text).status_code == 200


def test_connections_too_many_are_refused_and_the_others_go_on(service: Any) -> None:
    open_ones = [connect(service) for _ in range(10)]
    time.sleep(0.3)
    with connect(service) as one_too_many:
        answer = read_all(one_too_many)
    assert status_of(answer) == 503
    assert b"retry-after: 1" in answer
    assert ask(open_ones[3]) == 200
    for connection in open_ones:
        connection.close()
    time.sleep(0.3)
    assert_well(service)


def test_a_connection_is_kept_for_the_next_request_but_not_for_ever(service: Any) -> None:
    with connect(service) as connection:
        for _ in range(3):
            assert ask(connection) == 200
            time.sleep(2)  # longer than a request may take
        assert read_all(connection) == b""


def test_requests_that_come_at_once_are_answered_in_their_order(service: Any) -> None:
    with connect(service) as connection:
        health = b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n"
        last = b"GET /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        connection.sendall(GOOD + health + GOOD + last)
        answer = read_all(connection)
    statuses = [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [200, 200, 200, 404]


def test_a_client_that_does_not_take_its_answer_is_let_go(service: Any) -> None:
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


def test_what_is_no_http_is_refused(service: Any) -> None:
    with connect(service) as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n")
        assert status_of(read_all(connection)) == 400
    assert_well(service)


@pytest.mark.parametrize("wish", [b"websocket", b"h2c", b"nonsense"])
def test_a_wish_for_another_protocol_is_ignored_where_it_cannot_be(
    service: Any, wish: bytes
) -> None:
    wished = b"Connection: Upgrade\r\nUpgrade: %b\r\n" % wish
    request = GOOD.replace(b"Host: a\r\n", b"Host: a\r\n" + wished)
    with connect(service) as connection:
        assert ask(connection, request) == 200
    assert_well(service)


def test_a_request_too_many_is_refused_at_once_and_its_connection_goes_on(
    start: Callable[..., Any],
) -> None:
    service = start(max_requests=2, read_seconds=30)
    begun = [connect(service) for _ in range(2)]
    for connection in begun:
        connection.sendall(GOOD[: -len(BODY)])  # under way, but for the body
    time.sleep(0.3)
    with connect(service) as one_too_many:
        for _ in range(3):
            assert ask(one_too_many) == 429
        for connection in begun:
            assert ask(connection, BODY) == 200
            connection.close()
        assert ask(one_too_many) == 200
