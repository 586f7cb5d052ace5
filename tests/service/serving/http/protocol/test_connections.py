"""Clients that are too many, too slow, or send no end of headers; over real sockets."""

import contextlib
import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gatewise.service.serving.http.auth import api_keys
from gatewise.service.serving.http.auth.api_keys import Role, make_key
from gatewise.service.serving.http.protocol.connections import Connection
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

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


def test_headers_within_bounds_may_come_in_pieces(service: Any) -> None:
    with connect(service) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\n")
        for number in range(6):
            time.sleep(0.05)
            connection.sendall(b"X-%d: %b\r\n" % (number, b"a" * 250))
        assert ask(connection, GOOD.partition(b"\r\n")[2]) == 200


@pytest.mark.parametrize(
    "tail",
    [b"0\r\n" + b"X-A: b\r\n" * 10_000, b"0\r\nX-A: " + b"b" * 100_000, b"1;" + b"a" * 100_000],
    ids=["trailers", "a trailer", "beside a length"],
)
def test_what_stands_around_a_body_is_bounded_too(service: Any, tail: bytes) -> None:
    started = time.monotonic()
    with connect(service) as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        time.sleep(0.1)
        for start in range(0, len(tail), 5000):
            connection.sendall(tail[start : start + 5000])
        answer = read_all(connection)
    assert status_of(answer) == 431
    assert time.monotonic() - started < 1.4  # not because it took too long
    assert_well(service)


def test_a_trailer_is_no_header(start: Callable[..., Any], tmp_path: Path) -> None:
    key, entry = make_key("website", Role.PREDICT)
    api_keys.add(tmp_path / "keys", entry)
    service = start(api_keys_file=tmp_path / "keys")
    chunked = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n" % (len(BODY), BODY)
    with connect(service) as connection:
        trailer = b"X-API-Key: %b\r\n\r\n" % key.encode()
        assert ask(connection, HEAD + chunked + trailer) == 401


@pytest.mark.parametrize("wish", [b"websocket", b"h2c"])
def test_a_wish_that_comes_in_pieces_is_ignored_too(service: Any, wish: bytes) -> None:
    length = b"Content-Length: %d\r\n\r\n" % len(BODY)
    with connect(service) as connection:
        for piece in (HEAD + b"Connection: Upgrade\r\n", b"Upgrade: %b\r\n" % wish, length):
            connection.sendall(piece)
            time.sleep(0.1)
        last = b"GET /health/live HTTP/1.1\r\nConnection: close\r\n\r\n"
        connection.sendall(BODY + GOOD + last)
        assert read_all(connection).count(b"HTTP/1.1 200 OK") == 3


def test_a_request_behind_one_with_a_wish_is_answered(service: Any) -> None:
    health = b"GET /health/live HTTP/1.1\r\nHost: a\r\n"
    wished = health + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    with connect(service) as connection:
        connection.sendall(wished + health + b"Connection: close\r\n\r\n")
        assert read_all(connection).count(b"HTTP/1.1 200 OK") == 2


@pytest.mark.parametrize("count", [2, 900])
def test_each_of_many_requests_with_a_wish_is_answered(service: Any, count: int) -> None:
    wish = b"Host: a\r\nX-Long: %b\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n" % (b"a" * 99)
    wished = GOOD.replace(b"Host: a\r\n", wish)
    health = b"GET /health/live HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    last = b"GET /health/live HTTP/1.1\r\nConnection: close\r\n\r\n"
    with connect(service) as connection:
        connection.sendall(wished * 2 + health * (count - 2) + last)
        assert read_all(connection).count(b"HTTP/1.1 200 OK") == count + 1


@pytest.mark.parametrize(
    "headers",
    [
        b"Connection: Upgrade\r\nConnection: keep-alive\r\nUpgrade: websocket\r\n",
        b"Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n",
    ],
)
def test_a_wish_that_is_none_in_the_end_is_ignored(service: Any, headers: bytes) -> None:
    request = b"GET /health/live HTTP/1.1\r\nHost: a\r\n" + headers + b"\r\n"
    with connect(service) as connection:
        assert [ask(connection, request) for _ in range(2)] == [200, 200]


def test_nothing_private_of_uvicorn_is_overridden() -> None:
    own = {name for name in vars(Connection) if name.startswith("_") and not name.endswith("__")}
    assert own
    assert not own & set(dir(HttpToolsProtocol))


def test_a_stream_does_not_begin_before_another_answer_has_ended(
    service: Any,
) -> None:
    with connect(service) as connection:
        connection.sendall(
            GOOD + b"GET /stream HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n"
            b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert b"101" not in read_all(connection)
    assert_well(service)


def test_many_requests_of_one_connection_may_be_refused(start: Callable[..., Any]) -> None:
    service = start(max_requests=1)
    held, many = connect(service), 900
    last = b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"
    with connect(service) as connection:
        # The first is let in and waits for its body, so that the others wait for it.
        connection.sendall(GOOD[:-1])
        time.sleep(0.2)
        connection.sendall(GOOD[-1:] + b"GET / HTTP/1.1\r\n\r\n" * many + last)
        time.sleep(0.01)
        held.sendall(GOOD[:-1])
        answers = read_all(connection)
    held.close()
    assert answers.count(b"HTTP/1.1 ") == many + 2
    assert "Traceback" not in service.stop()[1]


def test_a_request_does_not_count_beside_the_one_before_it_on_its_connection(
    start: Callable[..., Any],
) -> None:
    service = start(max_requests=1)
    last = b"GET /health/live HTTP/1.1\r\nConnection: close\r\n\r\n"
    with connect(service) as connection:
        connection.sendall(GOOD * 5 + last)
        assert read_all(connection).count(b"HTTP/1.1 200 OK") == 6


def test_a_refusal_without_a_request_has_the_form_of_every_other(
    start: Callable[..., Any],
) -> None:
    service = start(max_requests=1, read_seconds=30, max_header_bytes=1000)
    with connect(service) as held:
        held.sendall(GOOD[:-1])
        time.sleep(0.2)
        refused = service.client.get("/health/live")
        inference = service.client.post("/v2/models/model/infer", json={})
        head = service.client.head("/health/live")
        again = service.client.get("/health/live")  # by the same connection: HEAD had no body
    too_large = service.client.get("/health/live", headers={"X-A": "b" * 2000})
    assert [one.status_code for one in (refused, inference, head, again)] == [429] * 4
    assert inference.json().keys() == {"error"}
    assert head.content == b""
    assert too_large.status_code == 431
    for answer in (refused, inference, head, too_large):
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_refusal_is_read_also_by_who_sends_all_of_a_large_body_first(service: Any) -> None:
    size = 50_000_000
    with connect(service) as connection:
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % size)
        for _ in range(size // 1_000_000):
            connection.sendall(b" " * 1_000_000)
        assert status_of(read_all(connection)) == 413
    assert_well(service)


def test_who_never_ends_a_body_that_was_refused_is_let_go(service: Any) -> None:
    with connect(service) as connection:
        connection.sendall(HEAD + b"Content-Length: 1000000000000\r\n\r\n")
        started = time.monotonic()
        with contextlib.suppress(OSError):
            while time.monotonic() - started < 10:
                connection.sendall(b" " * 1_000_000)
    assert time.monotonic() - started < 6
    assert_well(service)


def test_requests_are_not_taken_ahead_without_end(service: Any) -> None:
    with connect(service) as connection:
        connection.sendall(GOOD[:-1])
        time.sleep(0.2)
        answers = b""
        with contextlib.suppress(OSError):  # it may be closed before all of them are sent
            connection.sendall(GOOD[-1:] + b"GET /health/live HTTP/1.1\r\n\r\n" * 5000)
            answers = read_all(connection)
    assert answers.count(b"HTTP/1.1 ") < 2000
    assert_well(service)


def test_what_is_no_http_behind_a_request_is_not_answered_in_its_place(service: Any) -> None:
    body = json.dumps({"inputs": ["who " * 2000] * 20}).encode()
    with connect(service) as connection:
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        time.sleep(0.02)  # it is being answered
        connection.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        with contextlib.suppress(OSError):
            assert b" 400 " not in read_all(connection)
    assert_well(service)
