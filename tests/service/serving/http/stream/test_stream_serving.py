"""Streams of a running service: settings, metrics, access log, authorization."""

import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from gatewise.service.serving.http.auth import api_keys
from gatewise.service.serving.http.auth.api_keys import Role, make_key


def address(service: Any, path: str = "/stream") -> str:
    return f"ws://127.0.0.1:{service.port}{path}"


def closed_after(connection: Any, *messages: str) -> tuple[list[dict[str, Any]], int]:
    """Sends messages; returns those received until the close, and the close code."""
    received = []
    try:
        for message in messages:
            connection.send(message)
        while True:
            received.append(json.loads(connection.recv(timeout=20)))
    except ConnectionClosed as closed:
        return received, closed.rcvd.code if closed.rcvd else 0


def samples(service: Any, name: str) -> dict[str, float]:
    """Returns the samples of a metric, by their labels in text format."""
    lines = service.client.get("/metrics").text.splitlines()
    found = [line.removeprefix(name).rsplit(" ", 1) for line in lines if line.startswith(name)]
    return {labels: float(value) for labels, value in found}


@pytest.fixture
def folder(forward_folder: Callable[..., Path]) -> Path:
    return forward_folder("tokens.unit=word", labels=4)


def test_the_settings_of_streams(start: Any, folder: Path) -> None:
    service = start(
        f"m={folder}",
        max_streams=2,
        max_stream_characters=10,
        max_stream_message_bytes=100,
        stream_idle_seconds=1,
    )
    with connect(address(service)) as idle, connect(address(service)) as other:
        with connect(address(service)) as third:
            messages, code = closed_after(third)
            assert (messages[0]["type"], code) == ("urn:gatewise:problem:too-many-streams", 1013)
        messages, code = closed_after(other, json.dumps({"text": "one two three"}))
        assert (messages[0]["type"], code) == ("urn:gatewise:problem:text-too-long", 1009)
        messages, code = closed_after(idle)
        assert (messages[0]["type"], code) == ("urn:gatewise:problem:idle", 1008)


@pytest.mark.parametrize("size", [101, 399])
def test_a_message_that_is_too_large(start: Any, folder: Path, size: int) -> None:
    service = start(f"m={folder}", max_stream_message_bytes=100)
    message = json.dumps({"text": ""})
    message = json.dumps({"text": "a" * (size - len(message))})
    assert len(message) == size
    with connect(address(service)) as connection:
        messages, code = closed_after(connection, message)
    assert (messages[0]["type"], code) == ("urn:gatewise:problem:body-too-large", 1009)


def test_streams_are_counted_and_logged(start: Any, folder: Path) -> None:
    service = start(f"m={folder}", access_log="true", log_texts="true")
    with connect(address(service, "/stream?top_k=1")) as connection:
        assert connection.response.headers["X-Request-ID"]
        connection.send(json.dumps({"text": "one two "}))
        connection.recv(timeout=20)
        assert samples(service, "gatewise_open_streams") == {"": 1}
        messages, code = closed_after(connection, json.dumps({"text": "three", "end": True}))
        assert (messages[-1]["tokens"], code) == (3, 1000)
    with connect(address(service)) as connection:
        assert closed_after(connection, "no JSON")[1] == 1007
    with connect(address(service, "/models/nope/stream")) as connection:
        assert closed_after(connection)[1] == 1008
    with connect(address(service)) as connection:
        connection.send(json.dumps({"text": "one two "}))
        for _ in range(2):
            connection.recv(timeout=20)
    time.sleep(0.5)
    (version,) = (one["version"] for one in service.client.get("/models/m").json()["versions"])
    ended = samples(service, "gatewise_streams_total")
    of = f'model="m",version="{version}"'
    assert ended == {
        f'{{end="done",{of}}}': 1,
        f'{{end="malformed-body",{of}}}': 1,
        '{end="no-model",model="",version=""}': 1,
        f'{{end="gone",{of}}}': 1,
    }
    assert samples(service, "gatewise_stream_tokens_total") == {f"{{{of}}}": 5}
    assert samples(service, "gatewise_open_streams") == {"": 0}
    _, rest = service.stop()
    lines = [line for line in rest.splitlines() if 'method="WS"' in line]
    statuses = [line.partition("status=")[2].split(" ", 1)[0] for line in lines]
    assert statuses == ["1000", "1007", "1008", "1000"]
    assert 'path="/stream" status=1000' in lines[0]
    assert f'model="m" version="{version}"' in lines[0]
    assert "three" not in rest


def test_a_stream_is_refused_before_the_handshake(start: Any, folder: Path, tmp_path: Path) -> None:
    key, entry = make_key("website", Role.PREDICT)
    api_keys.add(tmp_path / "keys", entry)
    service = start(f"m={folder}", api_keys_file=tmp_path / "keys")
    named = {"X-API-Key": key}
    for path, headers, status, kind in (
        ("/stream", {}, 401, "unauthorized"),
        ("/nowhere", {}, 401, "unauthorized"),
        ("/nowhere", named, 404, "no-route"),
        ("/predict", named, 404, "no-route"),
    ):
        with (
            pytest.raises(InvalidStatus) as refused,
            connect(address(service, path), additional_headers=headers),
        ):
            pass
        response = refused.value.response
        assert response.status_code == status
        assert response.body is not None
        assert json.loads(response.body)["type"] == f"urn:gatewise:problem:{kind}"
        assert response.headers["Cache-Control"] == "no-store"
        assert (status == 401) == ("WWW-Authenticate" in response.headers)
    with connect(address(service), additional_headers=named) as connection:
        assert closed_after(connection, json.dumps({"text": "one", "end": True}))[1] == 1000


def test_streams_count_as_connections(start: Any, folder: Path) -> None:
    service = start(f"m={folder}", max_connections=2)
    with connect(address(service)) as first, connect(address(service)) as second:
        # Not a WebSocket client: the service refuses the connection before the request is sent.
        with socket.create_connection(("127.0.0.1", service.port), timeout=20) as refused:
            assert refused.recv(65536).startswith(b"HTTP/1.1 503 ")
        for stream in (first, second):
            assert closed_after(stream, json.dumps({"text": "one", "end": True}))[1] == 1000
    time.sleep(0.3)
    assert service.client.get("/health/live").status_code == 200
