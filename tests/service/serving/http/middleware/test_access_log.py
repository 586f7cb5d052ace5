"""The access log, the id and the trace of each request."""

import io
import json
import logging

import pytest
from opentelemetry.exporter.otlp.proto.http import trace_exporter
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from gatewise.service.serving.http import log_format
from gatewise.service.serving.settings import Settings


@pytest.fixture(scope="module")
def client(serve_app, make_app):
    return serve_app(make_app(access_log=True))


@pytest.fixture
def lines(caplog):
    """The lines of the access log."""
    caplog.set_level(logging.INFO, "gatewise.access")
    return lambda: [one for one in caplog.records if one.name == "gatewise.access"]


def test_a_request_is_logged_without_its_text_its_query_and_its_key(client, lines, wait_until):
    headers = {"X-Request-ID": "mine-1", "X-API-Key": "a secret key"}
    body = {"inputs": "a secret text"}
    answer = client.post("/predict?q=secret", json=body, headers=headers)
    assert answer.headers["x-request-id"] == "mine-1"
    wait_until(lines)
    (line,) = lines()
    expected = {"request_id": "mine-1", "method": "POST", "path": "/predict", "status": 200}
    expected |= {"model": "languages", "version": "2", "client": "127.0.0.1"}
    assert {**line.fields, "ms": 0} == {**expected, "ms": 0}
    assert line.fields["ms"] > 0
    assert "secret" not in line.getMessage()
    assert ' path="/predict" status=200 ' in line.getMessage()


def test_the_name_of_the_key_is_logged(serve_app, make_app, keys, lines, wait_until):
    client = serve_app(make_app(access_log=True, api_keys_file=keys.file))
    client.get("/models", headers=keys.predict)
    client.get("/models")
    wait_until(lambda: len(lines()) == 2)
    assert [line.fields.get("key") for line in lines()] == ["predict", None]


def test_an_invalid_id_is_replaced_and_a_long_path_truncated(client, lines, wait_until):
    answer = client.get("/" + "a" * 20_000, headers={"X-Request-ID": "no\tgood"})
    assert answer.status_code == 404
    assert len(answer.json()["detail"]) < 500
    wait_until(lines)
    (line,) = lines()
    assert line.fields["request_id"] == answer.headers["x-request-id"] != "no\tgood"
    assert 1000 < len(line.getMessage()) < 2000


def test_texts_are_logged_if_enabled(serve_app, make_app, lines, wait_until):
    client = serve_app(make_app(access_log=True, log_texts=True))
    client.post("/predict", json={"inputs": ["a text\nof two lines"]})
    tensor = {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["another text"]}
    client.post("/v2/models/languages/infer", json={"inputs": [tensor]})
    wait_until(lambda: len(lines()) == 2)
    first, second = (line.getMessage() for line in lines())
    assert first.endswith('texts=["a text\\nof two lines"]')
    assert second.endswith('texts=["another text"]')


def test_numbers_of_any_size_are_logged(serve_app, make_app, lines, wait_until):
    client = serve_app(make_app(access_log=True, log_texts=True))
    answer = client.post("/predict", content='{"inputs": [[1, null, 1000000000000000000000]]}')
    assert answer.status_code == 422
    wait_until(lines)
    assert lines()[0].getMessage().endswith('texts=["[[1, null, 1000000000000000000000]]"]')


def test_a_line_of_json_has_the_fields_of_a_request(monkeypatch):
    stream, level = io.StringIO(), logging.root.level
    monkeypatch.setattr(logging.root, "handlers", [])
    log_format.configure(Settings(log_format="json"), stream)
    logging.getLogger("gatewise.access").info("a line", extra={"fields": {"path": "/a\nb"}})
    logging.root.setLevel(level)
    line = json.loads(stream.getvalue())
    assert (line["level"], line["logger"], line["path"]) == ("info", "gatewise.access", "/a\nb")


def test_requests_are_traced_if_enabled(serve_app, make_app, monkeypatch, wait_until):
    exporter = InMemorySpanExporter()
    monkeypatch.setattr(trace_exporter, "OTLPSpanExporter", lambda: exporter)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")  # milliseconds
    client = serve_app(make_app(traces=True))
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    client.get("/health/live")
    client.post("/predict", json={"inputs": "who"}, headers={"traceparent": parent})
    wait_until(exporter.get_finished_spans)
    (span,) = exporter.get_finished_spans()
    assert span.name == "POST /predict"
    assert format(span.context.trace_id, "032x") == "0af7651916cd43dd8448eb211c80319c"
    assert span.resource.attributes["service.name"] == "gatewise"
