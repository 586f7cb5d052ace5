"""Requests to an endpoint: what is sent, what is tried again, and what ends a run."""

import json
import socket
import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from gatewise.training.teacher import chat_endpoint
from gatewise.training.teacher.chat_endpoint import ChatEndpoint
from gatewise.training.teacher.completion import Completion, RefusedTextError
from gatewise.training.teacher.teacher import TeacherError

QUESTION = [{"role": "user", "content": "Text: a\n\nLabel:"}]


def fault(status, message="no", code=None, **headers):
    body = json.dumps({"error": {"message": message, "code": code}})
    return status, {name.replace("_", "-"): value for name, value in headers.items()}, body


@pytest.fixture
def ask(endpoint):
    """Asks the endpoint once; waits between tries are short."""

    def asked(**options):
        client = ChatEndpoint(endpoint.url, first_wait=0.001)
        with client.connected():
            return client.complete(QUESTION, options)

    return asked


def test_a_request_has_model_messages_and_options(endpoint, ask):
    done = ask(temperature=0, logprobs=True)
    (sent,) = endpoint.requests
    assert sent == {"model": "small", "messages": QUESTION, "temperature": 0, "logprobs": True}
    assert (done.answers[0].text, done.read, done.written) == ("food", 100, 2)
    assert done.answers[0].tokens[0].probabilities == {"food": 1.0}
    assert "Authorization" not in endpoint.headers


def test_the_key_comes_from_the_environment(endpoint, ask, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret\n")
    ask()
    assert endpoint.headers["Authorization"] == "Bearer sk-secret"
    monkeypatch.setenv("OPENAI_API_KEY", "sk-é")
    with pytest.raises(TeacherError, match="OPENAI_API_KEY: expected printable ASCII"):
        ask()


@pytest.mark.parametrize(
    "first",
    [
        fault(429, Retry_After="0"),
        fault(429, Retry_After=format_datetime(datetime.now(UTC) + timedelta(seconds=-5))),
        fault(429, Retry_After="soon"),
        fault(503),
        (200, {}, "<html>"),
        (200, {}, '{"chat": 1}'),
    ],
)
def test_what_may_pass_is_tried_again(endpoint, ask, first):
    endpoint.faults = [first] * 3
    assert ask().answers[0].text == "food"
    assert len(endpoint.requests) == 4


def test_the_endpoint_says_how_long_to_wait(endpoint, ask, monkeypatch):
    waits = []
    endpoint.faults = [fault(429, Retry_After="7"), fault(503), None]
    with monkeypatch.context() as patched:
        patched.setattr(threading.Event, "wait", lambda _, seconds=None: waits.append(seconds))
        ask()
    assert [wait for wait in waits if wait in (7.0, 0.002)] == [7.0, 0.002]


@pytest.mark.parametrize(
    ("faults", "message", "requests"),
    [
        ([fault(401, "Incorrect key: sk-secret")], r"does not accept the key in OPENAI_API_K", 1),
        ([fault(429, "You exceeded it", "insufficient_quota")], "quota .*: You exceeded it", 1),
        ([fault(402, "Pay first")], "the quota of the endpoint is exhausted: Pay first", 1),
        ([fault(429, "Slow", Retry_After="3600")], "Slow: it asks to wait 3,600 seconds", 1),
        ([fault(404, "no such model")], "status 404: no such model: expected the base URL", 1),
        ([(307, {"Location": "/"}, "")], "status 307: it gives no reason", 1),
        ([fault(500, "down sk-secret")] * 6, "status 500 after several tries: down …", 6),
        ([(200, {}, "not JSON")] * 6, "an answer that is no chat completion: not JSON", 6),
        ([(200, {}, "[]")] * 6, r"an answer that is no chat completion: \[\]", 6),
    ],
)
def test_what_does_not_pass_is_one_line(endpoint, ask, monkeypatch, faults, message, requests):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    endpoint.faults = list(faults)
    with pytest.raises(TeacherError, match=message) as caught:
        ask()
    assert len(endpoint.requests) == requests
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_key_is_asked_for(endpoint, ask):
    endpoint.faults = [fault(401)]
    with pytest.raises(TeacherError, match="expects a key: set OPENAI_API_KEY"):
        ask()


def test_an_option_that_is_refused_is_left_out_from_then_on(endpoint):
    client = ChatEndpoint(endpoint.url)
    endpoint.faults = [fault(400, "Unsupported parameter: 'logprobs'")]
    with client.connected():
        for _ in range(2):
            client.complete(QUESTION, {"logprobs": True, "temperature": 0})
    assert ["logprobs" in body for body in endpoint.requests] == [True, False, False]
    endpoint.faults = [fault(400, "the context is too long")]
    with client.connected(), pytest.raises(RefusedTextError, match="the context is too long"):
        client.complete(QUESTION, {"temperature": 0})


def test_an_endpoint_that_refuses_connections_is_not_tried_again():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(TeacherError, match=f":{port}/v1: the endpoint cannot be reached"):
            ChatEndpoint(f"http://127.0.0.1:{port}/v1")


def test_an_endpoint_that_does_not_answer_times_out(monkeypatch):
    monkeypatch.setattr(chat_endpoint, "_TIMEOUT_SECONDS", 0.05)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        with pytest.raises(TeacherError, match=r"gave no answer in 0\.05 seconds"):
            ChatEndpoint(url, first_wait=0.001)


def test_the_model_is_named_where_there_are_several(endpoint):
    assert ChatEndpoint(endpoint.url).model == "small"
    endpoint.models = ["small", "large"]
    with pytest.raises(TeacherError, match=r"expected teacher\.model, .*: small, large"):
        ChatEndpoint(endpoint.url)
    endpoint.models = []
    with pytest.raises(TeacherError, match="none that it names"):
        ChatEndpoint(endpoint.url)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://127.0.0.1/v1", "received 'ftp://127.0.0.1/v1'"),
        ("http:///v1", "received 'http:///v1'"),
        ("http://me:sk-secret@h:port/v1", "such as http://127.0.0.1:8080/v1, received one"),
        ("http://me:sk-secret@127.0.0.1/v1", "the key belongs in the environment variable OPENAI"),
        ("http://127.0.0.1/v1?key=sk-secret", "received one with credentials, a query"),
    ],
)
def test_a_url_that_is_none_is_refused(url, message):
    with pytest.raises(TeacherError, match=message) as caught:
        ChatEndpoint(url, "small")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "document",
    [
        {"choices": []},
        {"choices": 3},
        {"choices": [None]},
        {"choices": [{"message": {"content": None}}], "usage": None},
        {"choices": [{"message": 3, "logprobs": {"content": []}}]},
    ],
)
def test_what_is_no_answer_is_an_empty_one(document):
    (answer,) = Completion.of(document).answers
    assert (answer.text, answer.tokens) == ("", None)


def test_log_probabilities_count_only_where_every_token_has_them():
    token = {"token": "a", "logprob": -1.0, "top_logprobs": [{"token": "b", "logprob": -9999.0}]}
    damaged = [{**token, "top_logprobs": None}, {**token, "logprob": "x"}, {"token": 3}, 3]
    for other in damaged:
        choice = {"message": {"content": "a"}, "logprobs": {"content": [token, other]}}
        assert Completion.of({"choices": [choice]}).answers[0].tokens is None
    choice = {"message": {"content": "a"}, "logprobs": {"content": [token]}}
    (found,) = Completion.of({"choices": [choice]}).answers[0].tokens
    assert found.probabilities == {"a": pytest.approx(0.3679, abs=1e-4), "b": 0.0}
