"""`WS /stream` on a real server, with the client of the websockets package."""

import concurrent.futures
import json
import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import SimpleNamespace

import pytest
import uvicorn
from fastapi import FastAPI
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from gatewise.service.model.classifier import Classifier
from gatewise.service.model.scores import ranked
from gatewise.service.serving.http.protocol import problems
from gatewise.service.serving.http.stream import stream_route
from gatewise.service.serving.http.stream.open_streams import StreamLimits, Streams
from gatewise.service.serving.http.stream.stream_route import close_code
from gatewise.service.serving.listen_socket import listen
from gatewise.service.serving.model_registry import NotReadyError, UnknownModelError

TEXT = "one two three one tw"


class Models:
    """Replaces the model registry; each model has one version."""

    def __init__(self, classifiers):
        self._classifiers = classifiers

    def find(self, name=None, version=None):
        name = name or next(iter(self._classifiers))
        if name not in self._classifiers or version not in (None, "1"):
            raise UnknownModelError(f"no model {name!r} of version {version}")
        if self._classifiers[name] is None:
            raise NotReadyError("the model is being loaded")
        return SimpleNamespace(name=name, version="1", classifier=self._classifiers[name])


@contextmanager
def serving(models, limits=None) -> Iterator[str]:
    app = FastAPI()
    streams = Streams(limits or StreamLimits())
    app.state.context = SimpleNamespace(models=models, streams=streams)
    app.include_router(stream_route.routes)
    with listen("127.0.0.1", 0) as listener:
        config = uvicorn.Config(app, log_config=None, ws="websockets-sansio")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive()
                time.sleep(0.01)
            yield f"ws://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def classifiers(forward_folder, model_folder):
    words = Classifier.load(forward_folder("tokens.unit=word", labels=4))
    characters = Classifier.load(forward_folder("tokens.unit=character", "tokens.max_length=8"))
    ends = Classifier.load(forward_folder("tokens.keep=both", "tokens.max_length=8"))
    both_ways = Classifier.load(model_folder)
    return {
        "words": words,
        "characters": characters,
        "ends": ends,
        "both-ways": both_ways,
        "loading": None,
    }


@pytest.fixture(scope="module")
def serve(classifiers):
    """Serves the models until the end of the module; gives the address."""
    with ExitStack() as stack:
        yield lambda **limits: stack.enter_context(
            serving(Models(classifiers), StreamLimits(**limits))
        )


@pytest.fixture(scope="module")
def service(serve):
    return serve(idle_seconds=20, message_bytes=2000, text_characters=5000, streams=40)


def send(connection, **message):
    connection.send(json.dumps(message))


def received(connection):
    return json.loads(connection.recv(timeout=30))


def until_closed(connection):
    """Returns the remaining messages and the close code."""
    messages = []
    try:
        while True:
            messages.append(received(connection))
    except ConnectionClosed as closed:
        return messages, closed.rcvd.code


def predicted(classifier, text, top_k=None):
    """Returns the scores that `/predict` answers."""
    scores = classifier.predict_proba([text])[0]
    found = ranked(classifier.classes_, scores, top_k)
    return [{"label": label, "score": pytest.approx(score, abs=1e-5)} for label, score in found]


def test_the_scores_after_each_token_and_at_the_end(service, classifiers):
    classifier = classifiers["words"]
    with connect(f"{service}/stream") as connection:
        send(connection, text="one two th")
        for tokens, text in enumerate(["one", "one two", "one two th"], start=1):
            message = received(connection)
            assert message == {
                "tokens": tokens,
                "scores": predicted(classifier, text),
                "end": False,
                "truncated": False,
            }
        send(connection, text="ree")
        assert received(connection)["scores"] == predicted(classifier, "one two three")
        send(connection, end=True)
        messages, closed = until_closed(connection)
    assert closed == 1000
    assert [message["end"] for message in messages] == [True]
    assert messages[0]["tokens"] == 3
    assert messages[0]["scores"] == predicted(classifier, "one two three")


@pytest.mark.parametrize(
    "path", ["/models/characters/stream", "/models/characters/versions/1/stream"]
)
def test_models_and_versions_by_name(service, classifiers, path):
    with connect(service + path) as connection:
        send(connection, text="abc ab cde fg", end=True)
        messages, closed = until_closed(connection)
    assert closed == 1000
    assert messages[-1]["scores"] == predicted(classifiers["characters"], "abc ab cde fg")
    assert (messages[-1]["tokens"], messages[-1]["truncated"]) == (7, True)


def test_every_message_is_answered(service, classifiers):
    with connect(f"{service}/stream?top_k=2") as connection:
        send(connection, text=" ")
        assert received(connection) == {"tokens": 0, "scores": [], "end": False, "truncated": False}
        for piece, text in (("one", "one"), ("", "one"), (" ", "one"), ("\n", "one")):
            send(connection, text=piece)
            message = received(connection)
            assert (message["tokens"], len(message["scores"])) == (1, 2)
            assert message["scores"] == predicted(classifiers["words"], text, top_k=2)


def test_a_text_may_be_split_anywhere(service, classifiers):
    choose = random.Random(1)
    for _ in range(5):
        text = "".join(
            choose.choice(["one ", "two", "日本", "é", "e\u0301", "👩‍👩‍👧", " [PAD] ", "\n"])
            for _ in range(60)
        )
        with connect(f"{service}/stream?top_k=1") as connection:
            start = 0
            while start < len(text):
                end = start + choose.randint(1, 30)
                send(connection, text=text[start:end])
                start = end
            send(connection, end=True)
            messages, closed = until_closed(connection)
        assert closed == 1000
        assert messages[-1]["scores"] == predicted(classifiers["words"], text, top_k=1)


def test_the_label_of_a_rejected_text_comes_first(rejecting_folder, forward_folder, tmp_path):
    import shutil

    from gatewise.service.model.model_documents import RejectSettings
    from gatewise.service.model.model_folder import (
        ModelFolder,
        read_model_folder,
        seal_model_folder,
        write_json,
    )

    folder = ModelFolder(shutil.copytree(forward_folder(), tmp_path / "model"))
    loaded = read_model_folder(folder.path)
    reject = RejectSettings(threshold=1, label="none of these")
    gatewise = loaded.config.gatewise.model_copy(update={"reject": reject})
    config = loaded.config.model_copy(update={"gatewise": gatewise})
    write_json(folder.config, config.model_dump(mode="json"))
    seal_model_folder(folder, loaded.manifest)
    with (
        serving(Models({"model": Classifier.load(folder.path)})) as service,
        connect(f"{service}/stream?top_k=2") as connection,
    ):
        send(connection, text="one")
        scores = received(connection)["scores"]
    assert scores[0] == {"label": "none of these", "score": scores[1]["score"]}


# The message, the kind of problem, and the close code.
REFUSED = {
    "no JSON": ("{", "malformed-body", 1007),
    "half a character": ('{"text": "\\ud800"}', "malformed-body", 1007),
    "deep nesting": ('{"text": ' + "[" * 900 + "]" * 900 + "}", "malformed-body", 1007),
    "an empty object": ("{}", "invalid-request", 1007),
    "another key": ('{"text": "a", "more": 1}', "invalid-request", 1007),
    "a number": ('{"text": 7}', "invalid-request", 1007),
    "bytes": (b'{"text": "a"}', "unsupported-body", 1003),
    "a large message": (json.dumps({"text": "a " * 1500}), "body-too-large", 1009),
    "multibyte characters": (
        json.dumps({"text": "日" * 900}, ensure_ascii=False),
        "body-too-large",
        1009,
    ),
    "a text without a token": ('{"text": " ", "end": true}', "empty-text", 1008),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_problem_document_precedes_the_close(service, name):
    message, kind, expected = REFUSED[name]
    with connect(f"{service}/stream") as connection:
        connection.send(message)
        messages, closed = until_closed(connection)
    assert messages[-1]["type"] == f"urn:gatewise:problem:{kind}"
    assert messages[-1]["instance"] == "/stream"
    assert set(problems.Problem.model_fields) >= set(messages[-1])
    assert closed == expected


@pytest.mark.parametrize(
    ("path", "kind", "detail", "expected"),
    [
        ("/models/both-ways/stream", "not-streamed", "network.direction=forward", 1008),
        ("/models/nobody/stream", "no-model", "no model 'nobody'", 1008),
        ("/models/loading/stream", "not-ready", "is being loaded", 1013),
        ("/stream?top_k=0", "invalid-request", "a number above 0, received '0'", 1007),
        ("/stream?top_k=%C2%B2", "invalid-request", "a number above 0", 1007),  # a superscript
    ],
)
def test_a_stream_that_cannot_begin(service, model_folder, path, kind, detail, expected):
    for _ in range(2):  # the second time the streaming classifier is cached
        with connect(service + path) as connection:
            (message,), closed = until_closed(connection)
        assert message["type"] == f"urn:gatewise:problem:{kind}"
        assert detail in message["detail"]
        assert str(model_folder) not in message["detail"]
        assert closed == expected


def test_a_text_longer_than_a_model_with_keep_both_reads(service):
    with connect(f"{service}/models/ends/stream") as connection:
        send(connection, text="one two three one two three one")
        assert [received(connection)["tokens"] for _ in range(7)] == [1, 2, 3, 4, 5, 6, 7]
        send(connection, text=" two")
        (message,), closed = until_closed(connection)
    assert (message["status"], closed) == (413, 1009)
    assert "tokens.keep=head" in message["detail"]


def test_the_limit_of_characters(service):
    with connect(f"{service}/stream?top_k=1") as connection:
        for _ in range(6):
            send(connection, text="one " * 240)
        messages, closed = until_closed(connection)
    assert (messages[-1]["detail"], closed) == ("expected at most 5,000 characters of a text", 1009)


def test_an_idle_stream_is_closed(serve):
    with connect(f"{serve(idle_seconds=0.3)}/stream") as connection:
        send(connection, text="one")
        assert received(connection)["tokens"] == 1
        (message,), closed = until_closed(connection)
    assert (message["status"], message["detail"], closed) == (
        408,
        "expected a message within 0.3 s",
        1008,
    )


def test_the_limit_of_open_streams(serve):
    service = serve(streams=3)
    for _ in range(2):
        with ExitStack() as stack:
            for _ in range(3):
                connection = stack.enter_context(connect(f"{service}/stream"))
                send(connection, text="one")
                received(connection)
            with connect(f"{service}/stream") as connection:
                (message,), closed = until_closed(connection)
            assert (message["status"], closed) == (429, 1013)
        wait_until_free(service)


def wait_until_free(service):
    """Waits until the service has noticed that connections are closed."""
    for _ in range(1000):
        with suppress(ConnectionClosed), connect(f"{service}/stream") as connection:
            send(connection, text="one")
            if "tokens" in received(connection):
                return
        time.sleep(0.01)
    pytest.fail("the streams stay open")


@pytest.mark.parametrize(
    ("origin", "origins", "is_allowed"),
    [
        (None, (), True),
        ("http://{host}", (), True),
        ("http://example.org", (), False),
        ("http://[", (), False),
        ("http://example.org", ("http://example.org",), True),
        ("http://example.org", ("*",), True),
    ],
)
def test_cross_origin_pages(classifiers, origin, origins, is_allowed):
    with serving(Models(classifiers), StreamLimits(origins=origins)) as service:
        origin = origin and origin.format(host=service.removeprefix("ws://"))
        if is_allowed:
            with connect(f"{service}/stream", origin=origin) as connection:
                send(connection, text="one", end=True)
                assert until_closed(connection)[1] == 1000
            return
        with pytest.raises(InvalidStatus) as refused:
            connect(f"{service}/stream", origin=origin)
    assert refused.value.response.status_code == 403
    assert json.loads(refused.value.response.body)["type"] == "urn:gatewise:problem:foreign-page"


def test_concurrent_streams_are_independent(service, classifiers):
    words = ["one", "two", "three", "words", "of", "several", "texts"]

    def stream_of(seed):
        choose = random.Random(seed)
        text = " ".join(choose.choice(words) for _ in range(40))
        with connect(f"{service}/stream?top_k=1") as connection:
            for start in range(0, len(text), 17):
                send(connection, text=text[start : start + 17])
            send(connection, end=True)
            messages, _ = until_closed(connection)
        return text, messages[-1]["scores"]

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        for text, scores in pool.map(stream_of, range(24)):
            assert scores == predicted(classifiers["words"], text, top_k=1)


def test_a_failing_network_ends_only_its_stream(classifiers, forward_folder, monkeypatch):
    from gatewise.service.model import streaming_classifier
    from gatewise.service.model.errors import ModelFolderError

    classifier = Classifier.load(forward_folder())
    read = streaming_classifier.StreamingClassifier.read

    def failing(self, token, point):
        if point.tokens >= 2:
            raise ModelFolderError("/secret/place: the network cannot answer")
        return read(self, token, point)

    with serving(Models({"model": classifier})) as service:
        with monkeypatch.context() as patch:
            patch.setattr(streaming_classifier.StreamingClassifier, "read", failing)
            with connect(f"{service}/stream") as connection:
                send(connection, text="one two three")
                messages, closed = until_closed(connection)
        assert (messages[-1]["status"], closed) == (500, 1011)
        assert "secret" not in json.dumps(messages)
        with connect(f"{service}/stream") as connection:
            send(connection, text="one two three", end=True)
            assert until_closed(connection)[1] == 1000


HANDSHAKE = (
    b"GET /stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def raw(service, *sent):
    """Sends bytes after the handshake, then disconnects."""
    host, port = service.removeprefix("ws://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as client:
        client.sendall(HANDSHAKE)
        assert client.recv(4096).startswith(b"HTTP/1.1 101")
        for part in sent:
            try:
                client.sendall(part)
            except OSError:
                return


def masked(payload, opcode=1, *, fin=True, length=None):
    """Returns a frame of a client, with a mask of zeros."""
    size = len(payload) if length is None else length
    head = bytes([opcode | (0x80 if fin else 0)])
    if size < 126:
        return head + bytes([0x80 | size]) + bytes(4) + payload
    return head + bytes([0x80 | 127]) + size.to_bytes(8, "big") + bytes(4) + payload


def test_hostile_clients(service, classifiers):
    choose = random.Random(0)
    piece = json.dumps({"text": "one two "}).encode()
    cases = [
        [b"no frames at all\r\n\r\n"],
        [masked(piece)[:7]],
        [masked(b"\xff\xfe")],
        [masked(b"", length=2**62)],
        [masked(piece, 3)],
        [masked(piece[:4], fin=False), masked(piece[4:], 0)],
        [masked(piece[:4], fin=False)] + [masked(b"", 0, fin=False)] * 1000,
        [masked(b"x" * 125, 9)] * 1000,
        [masked(b"\x03\xe8", 8), masked(piece)],
        [masked(b"", 8)] * 50,
        [masked(piece)] * 400,
        *([choose.randbytes(choose.randrange(200))] for _ in range(30)),
        *([masked(choose.randbytes(choose.randrange(120)))] for _ in range(30)),
    ]
    for case in cases:
        raw(service, *case)
    wait_until_free(service)
    with connect(f"{service}/stream") as connection:
        send(connection, text=TEXT, end=True)
        messages, closed = until_closed(connection)
    assert closed == 1000
    assert messages[-1]["scores"] == predicted(classifiers["words"], TEXT)


def test_a_client_that_receives_nothing_is_closed(forward_folder):
    # Answers of about 10 kB each, more than the socket buffers hold.
    classifier = Classifier.load(forward_folder("tokens.max_length=4000", labels=300))
    limits = StreamLimits(streams=1, idle_seconds=1)
    message = masked(json.dumps({"text": "one two " * 3000}).encode())
    with serving(Models({"model": classifier}), limits) as service:
        host, port = service.removeprefix("ws://").split(":")
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.settimeout(10)
            client.connect((host, int(port)))
            client.sendall(HANDSHAKE)
            assert client.recv(4096).startswith(b"HTTP/1.1 101")
            client.sendall(message)
            with connect(f"{service}/stream") as other:
                assert until_closed(other)[1] == 1013
            wait_until_free(service)


def test_the_streaming_classifier_of_an_unloaded_model_is_freed(forward_folder):
    import asyncio
    import gc
    import weakref

    async def create():
        streams = Streams(StreamLimits())
        classifier = Classifier.load(forward_folder())
        first, again = await streams.streaming(classifier), await streams.streaming(classifier)
        assert first is again
        reference = weakref.ref(first)
        del first, again, classifier
        await asyncio.sleep(0)
        gc.collect()
        return reference()

    assert asyncio.run(create()) is None


def test_every_problem_has_a_close_code():
    kinds = [one for one in vars(problems).values() if isinstance(one, problems.Kind)]
    assert {close_code(kind) for kind in kinds} <= {1003, 1007, 1008, 1009, 1011, 1013}
