"""`WS /stream` on a real server, with the client of the websockets package."""

import asyncio
import concurrent.futures
import gc
import json
import logging
import math
import random
import socket
import weakref
from contextlib import ExitStack, suppress

import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from gatewise.service.model import streaming_classifier
from gatewise.service.model.classifier import Classifier
from gatewise.service.model.errors import ModelFolderError
from gatewise.service.model.scores import ranked
from gatewise.service.serving.http.protocol import problems
from gatewise.service.serving.http.stream.open_streams import Streams

TEXT = "one two three one tw"


@pytest.fixture(scope="module")
def classifiers(forward_folder, model_folder):
    return {
        "words": Classifier.load(forward_folder("tokens.unit=word", labels=4)),
        "characters": Classifier.load(
            forward_folder("tokens.unit=character", "tokens.max_length=8")
        ),
        "ends": Classifier.load(forward_folder("tokens.keep=both", "tokens.max_length=8")),
        "both-ways": Classifier.load(model_folder),
        "gestures": Classifier.load(forward_folder("tokens.max_length=300", features=2)),
        "forecast": Classifier.load(forward_folder("tokens.max_length=300", features=1, labels=1)),
        "loading": None,
    }


@pytest.fixture(scope="module")
def serve(serve_app, make_app, classifiers):
    """Serves the models until the end of the module; gives a client."""
    return lambda **settings: serve_app(make_app(classifiers, **settings))


@pytest.fixture(scope="module")
def service(serve):
    return serve(
        stream_idle_seconds=20,
        max_stream_message_bytes=2000,
        max_stream_characters=5000,
        max_streams=40,
    )


def address(service, path="/stream"):
    return f"ws://127.0.0.1:{service.base_url.port}{path}"


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


def is_free(service):
    """Whether the service has noticed that connections are closed."""
    with suppress(ConnectionClosed), connect(address(service)) as connection:
        send(connection, text="one", end=True)
        return until_closed(connection)[1] == 1000
    return False


class TestAnswers:
    def test_the_scores_after_each_token_and_at_the_end(self, service, classifiers):
        classifier = classifiers["words"]
        with connect(address(service)) as connection:
            send(connection, text="one two th")
            for tokens, text in enumerate(["one", "one two", "one two th"], start=1):
                assert received(connection) == {
                    "tokens": tokens,
                    "scores": predicted(classifier, text),
                    "end": False,
                    "truncated": False,
                }
            send(connection, text="ree")
            assert received(connection)["scores"] == predicted(classifier, "one two three")
            send(connection, end=True)
            (message,), closed = until_closed(connection)
        assert closed == 1000
        assert (message["end"], message["tokens"]) == (True, 3)
        assert message["scores"] == predicted(classifier, "one two three")

    @pytest.mark.parametrize(
        "path", ["/models/characters/stream", "/models/characters/versions/1/stream"]
    )
    def test_models_and_versions_by_name(self, service, classifiers, path):
        with connect(address(service, path)) as connection:
            send(connection, text="abc ab cde fg", end=True)
            messages, closed = until_closed(connection)
        assert closed == 1000
        assert messages[-1]["scores"] == predicted(classifiers["characters"], "abc ab cde fg")
        assert (messages[-1]["tokens"], messages[-1]["truncated"]) == (7, True)

    def test_every_message_is_answered(self, service, classifiers):
        none = {"tokens": 0, "scores": [], "end": False, "truncated": False}
        with connect(address(service, "/stream?top_k=2")) as connection:
            send(connection, text=" ")
            assert received(connection) == none
            for piece in ("one", "", " ", "\n"):
                send(connection, text=piece)
                message = received(connection)
                assert message["tokens"] == 1
                assert message["scores"] == predicted(classifiers["words"], "one", top_k=2)

    def test_concurrent_streams_of_texts_split_anywhere_are_independent(self, service, classifiers):
        words = ["one ", "two", "日本", "é", "e\u0301", "👩‍👩‍👧", " [PAD] ", "\n", "several texts"]

        def stream_of(seed):
            choose = random.Random(seed)
            text = "".join(choose.choice(words) for _ in range(60))
            with connect(address(service, "/stream?top_k=1")) as connection:
                start = 0
                while start < len(text):
                    end = start + choose.randint(1, 30)
                    send(connection, text=text[start:end])
                    start = end
                send(connection, end=True)
                messages, _ = until_closed(connection)
            return text, messages[-1]["scores"]

        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            for text, scores in pool.map(stream_of, range(24)):
                assert scores == predicted(classifiers["words"], text, top_k=1)

    def test_the_label_of_a_rejected_text_comes_first(self, service, classifiers, monkeypatch):
        monkeypatch.setattr(classifiers["words"], "none_labels", lambda scores: ["none of these"])
        with connect(address(service, "/stream?top_k=2")) as connection:
            send(connection, text="one")
            first, second = received(connection)["scores"]
        assert first == {"label": "none of these", "score": second["score"]}


class TestSequences:
    def test_the_scores_after_each_step(self, service, classifiers):
        steps = [[510.0, 490.5], [None, 530.25], [480.0, None]]
        with connect(address(service, "/models/gestures/stream?top_k=2")) as connection:
            send(connection, sequence=steps[0])
            send(connection, sequence=steps[1:])
            for tokens in (1, 2, 3):
                expected = predicted(classifiers["gestures"], steps[:tokens], top_k=2)
                assert received(connection) == {
                    "tokens": tokens,
                    "scores": expected,
                    "end": False,
                    "truncated": False,
                }
            send(connection, end=True)
            (message,), closed = until_closed(connection)
        assert (message["end"], message["scores"], closed) == (True, expected, 1000)

    def test_the_number_after_each_observation(self, service, classifiers):
        series = [480 + 7 * step % 40 for step in range(310)]
        series[7] = None
        with connect(address(service, "/models/forecast/stream")) as connection:
            for step in range(12):
                send(connection, sequence=series[step])
                ((_, number),) = [each.values() for each in received(connection)["scores"]]
                (expected,) = classifiers["forecast"].predict([series[: step + 1]])
                assert number == pytest.approx(expected, abs=5e-4)
            # A message of more steps than are processed at a time, and past the maximum length.
            send(connection, sequence=series[12:], end=True)
            messages, closed = until_closed(connection)
        assert [each["tokens"] for each in messages] == [*range(13, 301), 300]
        assert (messages[-1]["truncated"], closed) == (True, 1000)
        (expected,) = classifiers["forecast"].predict([series])
        assert messages[-1]["scores"][0]["score"] == pytest.approx(expected, abs=5e-4)

    @pytest.mark.parametrize(
        ("model", "message", "detail"),
        [
            ("gestures", {"sequence": [1, 2, 3]}, "#/sequence: expected vectors of 2 numbers"),
            ("gestures", {"sequence": [[1, 2], [3]]}, "#/sequence: step 1, counted from 0"),
            ("gestures", {"sequence": "NaN"}, "expected a number or null, received 'NaN'"),
            ("gestures", {"sequence": []}, "#/sequence: the sequence is empty"),
            ("gestures", {"sequence": None}, "expected vectors of 2 numbers, received numbers"),
            ("forecast", {"sequence": 1e39}, "expected a finite number of 32 bits"),
            ("forecast", {"text": "one"}, 'expected "sequence", which this model reads, rec'),
            ("words", {"sequence": [1.0]}, 'expected "text", which this model reads, received'),
        ],
    )
    def test_a_bad_observation_ends_its_stream_alone(self, service, model, message, detail):
        with connect(address(service, f"/models/{model}/stream")) as connection:
            send(connection, **message)
            (answer,), closed = until_closed(connection)
        assert (answer["type"], closed) == ("urn:gatewise:problem:invalid-request", 1007)
        assert detail in answer["detail"]
        assert is_free(service)

    def test_a_missing_number_is_null_as_in_predict_and_nan_is_refused(self, service):
        inputs = [500.0, None, 510.0]
        response = service.post("/models/forecast/predict", json={"inputs": inputs})
        ((expected,),) = response.json()
        with connect(address(service, "/models/forecast/stream")) as connection:
            send(connection, sequence=inputs, end=True)
            messages, _ = until_closed(connection)
        (found,) = messages[-1]["scores"]
        assert found["score"] == pytest.approx(expected["score"], abs=5e-4)
        with connect(address(service, "/models/forecast/stream")) as connection:
            send(connection, sequence=[500.0, math.nan])
            (answer,), closed = until_closed(connection)
        assert (answer["type"], closed) == ("urn:gatewise:problem:malformed-body", 1007)
        assert "a missing number is null" in answer["detail"]

    def test_an_empty_sequence_and_one_with_too_many_numbers(self, serve):
        service = serve(max_stream_characters=5)
        for message, kind, code, detail in (
            (
                {"end": True},
                "empty-text",
                1008,
                "the sequence is empty: it holds no step to classify",
            ),
            (
                {"sequence": [[1, 2]] * 3},
                "text-too-long",
                1009,
                "expected at most 5 numbers of a sequence",
            ),
        ):
            with connect(address(service, "/models/gestures/stream")) as connection:
                send(connection, **message)
                (answer,), closed = until_closed(connection)
            assert (answer["type"], closed) == (f"urn:gatewise:problem:{kind}", code)
            assert answer["detail"] == detail

    def test_the_list_of_models_says_what_each_reads(self, service):
        models = service.get("/models").json()["models"]
        found = {
            model["name"]: tuple(
                model["versions"][-1].get(key) for key in ("input", "features", "streams")
            )
            for model in models
            if model["versions"]
        }
        assert found["gestures"] == ("sequence", 2, True)
        assert found["forecast"] == ("sequence", 1, True)
        assert found["words"] == ("text", None, True)
        assert found["both-ways"] == ("text", None, False)


class TestRefusals:
    @pytest.mark.parametrize(
        ("message", "kind", "code"),
        [
            ("{", "malformed-body", 1007),
            ('{"text": "\\ud800"}', "malformed-body", 1007),
            ('{"text": ' + "[" * 900 + "]" * 900 + "}", "malformed-body", 1007),
            ("{}", "invalid-request", 1007),
            ('{"text": "a", "more": 1}', "invalid-request", 1007),
            ('{"text": 7}', "invalid-request", 1007),
            (b'{"text": "a"}', "unsupported-body", 1003),
            (json.dumps({"text": "a " * 1500}), "body-too-large", 1009),
            (json.dumps({"text": "日" * 900}, ensure_ascii=False), "body-too-large", 1009),
            ('{"text": " ", "end": true}', "empty-text", 1008),
        ],
    )
    def test_a_problem_document_precedes_the_close(self, service, message, kind, code):
        with connect(address(service)) as connection:
            connection.send(message)
            messages, closed = until_closed(connection)
        assert messages[-1]["type"] == f"urn:gatewise:problem:{kind}"
        assert messages[-1]["instance"] == "/stream"
        assert set(problems.Problem.model_fields) >= set(messages[-1])
        assert closed == code

    @pytest.mark.parametrize(
        ("path", "kind", "detail", "code"),
        [
            ("/models/both-ways/stream", "not-streamed", "network.direction=forward", 1008),
            ("/models/nobody/stream", "no-model", "no model 'nobody'", 1008),
            ("/models/loading/stream", "not-ready", "is being loaded", 1013),
            ("/stream?top_k=0", "invalid-request", "a number above 0, received '0'", 1007),
            ("/stream?top_k=%C2%B2", "invalid-request", "a number above 0", 1007),  # a superscript
        ],
    )
    def test_a_stream_that_cannot_begin(self, service, model_folder, path, kind, detail, code):
        for _ in range(2):  # the second time the streaming classifier is cached
            with connect(address(service, path)) as connection:
                (message,), closed = until_closed(connection)
            assert message["type"] == f"urn:gatewise:problem:{kind}"
            assert detail in message["detail"]
            assert str(model_folder) not in message["detail"]
            assert closed == code

    def test_a_text_longer_than_a_model_with_keep_both_reads(self, service):
        with connect(address(service, "/models/ends/stream")) as connection:
            send(connection, text="one two three one two three one")
            assert [received(connection)["tokens"] for _ in range(7)] == [1, 2, 3, 4, 5, 6, 7]
            send(connection, text=" two")
            (message,), closed = until_closed(connection)
        assert (message["status"], closed) == (413, 1009)
        assert "tokens.keep=head" in message["detail"]

    def test_the_limit_of_characters(self, service):
        with connect(address(service, "/stream?top_k=1")) as connection:
            for _ in range(6):
                send(connection, text="one " * 240)
            messages, closed = until_closed(connection)
        assert messages[-1]["detail"] == "expected at most 5,000 characters of a text"
        assert closed == 1009

    def test_an_idle_stream_is_closed(self, serve):
        with connect(address(serve(stream_idle_seconds=0.3))) as connection:
            send(connection, text="one")
            assert received(connection)["tokens"] == 1
            (message,), closed = until_closed(connection)
        assert message["status"] == 408
        assert (message["detail"], closed) == ("expected a message within 0.3 s", 1008)

    def test_the_limit_of_open_streams(self, serve, wait_until):
        service = serve(max_streams=3)
        for _ in range(2):
            wait_until(lambda: is_free(service))
            with ExitStack() as stack:
                for _ in range(3):
                    connection = stack.enter_context(connect(address(service)))
                    send(connection, text="one")
                    received(connection)
                with connect(address(service)) as connection:
                    (message,), closed = until_closed(connection)
                assert (message["status"], closed) == (429, 1013)

    def test_streams_count_as_connections(self, serve):
        service = serve(max_connections=2)
        with connect(address(service)), connect(address(service)):
            # Not a WebSocket client: the connection is refused before a request is sent.
            place = ("127.0.0.1", service.base_url.port)
            with socket.create_connection(place, timeout=20) as refused:
                assert refused.recv(65536).startswith(b"HTTP/1.1 503 ")

    def test_pages_of_other_origins(self, serve):
        other = "http://example.org"
        services = {allowed: serve(cors_origins=allowed) for allowed in (None, other, "*")}
        own = str(services[None].base_url)
        for allowed, origin, is_allowed in (
            (None, None, True),
            (None, own, True),
            (None, other, False),
            (None, "http://[", False),
            (other, other, True),
            ("*", other, True),
        ):
            url = address(services[allowed])
            if is_allowed:
                with connect(url, origin=origin) as connection:
                    send(connection, text="one", end=True)
                    assert until_closed(connection)[1] == 1000
                continue
            with pytest.raises(InvalidStatus) as refused:
                connect(url, origin=origin)
            response = refused.value.response
            assert response.status_code == 403
            assert json.loads(response.body)["type"] == "urn:gatewise:problem:foreign-page"

    def test_a_stream_without_a_key_or_a_route_is_refused_before_the_handshake(self, serve, keys):
        service = serve(api_keys_file=keys.file)
        for path, headers, status, kind in (
            ("/stream", {}, 401, "unauthorized"),
            ("/nowhere", {}, 401, "unauthorized"),
            ("/nowhere", keys.predict, 404, "no-route"),
            ("/predict", keys.predict, 404, "no-route"),
        ):
            with pytest.raises(InvalidStatus) as refused:
                connect(address(service, path), additional_headers=headers)
            response = refused.value.response
            assert response.status_code == status
            assert json.loads(response.body)["type"] == f"urn:gatewise:problem:{kind}"
            assert response.headers["Cache-Control"] == "no-store"
            assert (status == 401) == ("WWW-Authenticate" in response.headers)
        with connect(address(service), additional_headers=keys.predict) as connection:
            send(connection, text="one", end=True)
            assert until_closed(connection)[1] == 1000

    def test_a_failing_network_ends_only_its_stream(self, service, monkeypatch):
        read = streaming_classifier.StreamingClassifier.read

        def failing(self, token, point):
            if point.tokens >= 2:
                raise ModelFolderError("/secret/place: the network cannot answer")
            return read(self, token, point)

        with monkeypatch.context() as patch:
            patch.setattr(streaming_classifier.StreamingClassifier, "read", failing)
            with connect(address(service)) as connection:
                send(connection, text="one two three")
                messages, closed = until_closed(connection)
        assert (messages[-1]["status"], closed) == (500, 1011)
        assert "secret" not in json.dumps(messages)
        assert is_free(service)


def test_streams_are_counted_and_logged_without_their_texts(serve, caplog, wait_until):
    caplog.set_level(logging.INFO, "gatewise.access")
    service = serve(access_log=True, log_texts=True)

    def samples():
        families = text_string_to_metric_families(service.get("/metrics").text)
        return {
            (sample.name, sample.labels.get("model"), sample.labels.get("end")): sample.value
            for family in families
            for sample in family.samples
            if "stream" in sample.name and not sample.name.endswith("_created") and sample.value
        }

    with connect(address(service, "/stream?top_k=1")) as connection:
        assert connection.response.headers["X-Request-ID"]
        send(connection, text="one two ")
        received(connection)
        assert samples() == {("gatewise_open_streams", None, None): 1}
        send(connection, text="three", end=True)
        messages, _ = until_closed(connection)
        assert messages[-1]["tokens"] == 3
    with connect(address(service)) as connection:
        connection.send("no JSON")
        until_closed(connection)
    with connect(address(service, "/models/nope/stream")) as connection:
        until_closed(connection)
    with connect(address(service)) as connection:
        send(connection, text="one two ")
        for _ in range(2):
            received(connection)

    def lines():
        return [
            line for line in caplog.records if getattr(line, "fields", {}).get("method") == "WS"
        ]

    wait_until(lambda: len(lines()) == 4)
    assert samples() == {
        ("gatewise_streams_total", "words", "done"): 1,
        ("gatewise_streams_total", "words", "malformed-body"): 1,
        ("gatewise_streams_total", "", "no-model"): 1,
        ("gatewise_streams_total", "words", "gone"): 1,
        ("gatewise_stream_tokens_total", "words", None): 5,
    }
    assert [line.fields["status"] for line in lines()] == [1000, 1007, 1008, 1000]
    expected = {"path": "/stream", "model": "words", "version": "2"}
    assert lines()[0].fields.items() >= expected.items()
    assert "three" not in caplog.text


HANDSHAKE = (
    b"GET /stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def masked(payload, opcode=1, *, fin=True, length=None):
    """Returns a frame of a client, with a mask of zeros."""
    size = len(payload) if length is None else length
    head = bytes([opcode | (0x80 if fin else 0)])
    if size < 126:
        return head + bytes([0x80 | size]) + bytes(4) + payload
    return head + bytes([0x80 | 127]) + size.to_bytes(8, "big") + bytes(4) + payload


def test_hostile_clients(service, classifiers, wait_until):
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
        with socket.create_connection(("127.0.0.1", service.base_url.port), timeout=10) as client:
            client.sendall(HANDSHAKE)
            assert client.recv(4096).startswith(b"HTTP/1.1 101")
            try:
                for part in case:
                    client.sendall(part)
            except OSError:
                continue
    wait_until(lambda: is_free(service))
    with connect(address(service)) as connection:
        send(connection, text=TEXT, end=True)
        messages, closed = until_closed(connection)
    assert closed == 1000
    assert messages[-1]["scores"] == predicted(classifiers["words"], TEXT)


def test_a_client_that_receives_nothing_is_closed(serve_app, make_app, forward_folder, wait_until):
    # Answers of about 10 kB each, more than the socket buffers hold.
    classifier = Classifier.load(forward_folder("tokens.max_length=4000", labels=300))
    service = serve_app(make_app({"model": classifier}, max_streams=1, stream_idle_seconds=0.5))
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(10)
        client.connect(("127.0.0.1", service.base_url.port))
        client.sendall(HANDSHAKE)
        assert client.recv(4096).startswith(b"HTTP/1.1 101")
        client.sendall(masked(json.dumps({"text": "one two " * 3000}).encode()))
        with connect(address(service)) as other:
            assert until_closed(other)[1] == 1013
        wait_until(lambda: is_free(service))


@pytest.mark.anyio
async def test_the_streaming_classifier_of_an_unloaded_model_is_freed(forward_folder):
    streams = Streams(1, 1)
    classifier = Classifier.load(forward_folder())
    first, again = await streams.streaming(classifier), await streams.streaming(classifier)
    assert first is again
    reference = weakref.ref(first)
    del first, again, classifier
    # The thread that has loaded it lets go of it a moment later.
    for _ in range(500):
        await asyncio.sleep(0.01)
        gc.collect()
        if reference() is None:
            break
    assert reference() is None
