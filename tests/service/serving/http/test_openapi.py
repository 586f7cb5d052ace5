"""The OpenAPI document and docs/service.md: the service answers as they say."""

import json
import re
from pathlib import Path

import httpx
import jsonschema
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

PAGE = (Path(__file__).parents[4] / "docs" / "service.md").read_text(encoding="utf-8")

_EXAMPLES = 20
"""The most requests of each operation and mode."""

_EFFORT = settings(
    max_examples=_EXAMPLES,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def client(serve_app, make_app, models):
    return serve_app(make_app({"model": models["languages"], "colours": models["colours"]}))


@pytest.fixture(scope="module")
def document(client):
    return client.get("/openapi.json").json()


@pytest.fixture(scope="module")
def session():
    with requests.Session() as session:
        session.trust_env = False
        yield session


# Without Schemathesis's pytest plugin, which does not support the newest pytest.
@pytest.mark.parametrize("mode", list(GenerationMode))
def test_every_response_is_as_described(client, document, session, mode):
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=str(client.base_url))
    operations = [found.ok() for found in schema.get_all_operations()]
    called = set()

    for operation in operations:
        # Without a body there is nothing invalid to send.
        if mode is GenerationMode.NEGATIVE and not operation.body:
            continue

        @_EFFORT
        @given(case=operation.as_strategy(generation_mode=mode))
        def answered(case):
            called.add(case.operation.label)
            # A schema cannot say that a text must have a token: a request that is valid by the
            # document may be refused, as the document describes.
            case.call_and_validate(session=session, excluded_checks=[positive_data_acceptance])

        answered()
    assert {"POST /predict", "POST /explain", "POST /v2/models/{name}/infer"} <= called


def validate(value, schema, document):
    jsonschema.validate(value, {**schema, "components": document["components"]})


def test_examples_of_requests_get_the_described_answers(client, document):
    answered = 0
    for path, operations in document["paths"].items():
        for method, described in operations.items():
            content = described["responses"].get("200", {}).get("content", {})
            if method not in ("get", "post") or "application/json" not in content:
                continue
            examples = [None]
            if body := described.get("requestBody"):
                request = body["content"]["application/json"]["schema"]
                name = request["$ref"].rpartition("/")[2]
                examples = document["components"]["schemas"][name]["examples"]
                for example in examples:
                    validate(example, request, document)
            elif method == "post":
                continue  # changes the versions
            for example in examples:
                address = path.format(name="model", version="1")
                response = client.request(method, address, json=example)
                assert response.status_code == 200, path
                validate(response.json(), content["application/json"]["schema"], document)
                answered += 1
    assert answered > 20


def test_every_reference_resolves(document):
    references = re.findall(r'"\$ref": "#/components/schemas/(\w+)"', json.dumps(document))
    assert {"PredictRequest", "ExplainRequest", "InferRequest", "Problem"} <= set(references)
    assert set(references) == set(document["components"]["schemas"])


@pytest.mark.parametrize(
    ("path", "statuses"),
    [
        ("/predict", "200 400 404 413 415 422 429 503 504"),
        ("/explain", "200 400 413 415 422 429 503 504"),
        ("/models/{name}/explain", "200 400 404 413 415 422 429 503 504"),
        ("/v2/models/{name}/infer", "200 400 404 413 415 429 503 504"),
    ],
)
def test_the_statuses_of_a_route_are_described(document, path, statuses):
    assert sorted(document["paths"][path]["post"]["responses"]) == statuses.split()


def test_every_documented_route_is_there_and_every_route_documented(client, document):
    table = re.findall(r"^\| `(GET|POST|PUT|DELETE) (/\S*)` \|", PAGE, re.MULTILINE)
    routes = {
        (method.upper(), path) for path, route in document["paths"].items() for method in route
    }
    # The page and the documents are for browsers, and not described.
    own = {("GET", path) for path in ("/", "/docs", "/openapi.json")}
    assert set(table) == routes | own
    assert "url: 'openapi.json'" in client.get("/docs").text


def test_head_is_answered_like_get_without_a_body_on_every_route(client, document):
    described = [path for path, operations in document["paths"].items() if "get" in operations]
    files = ("page/page.js", "page/swagger-ui-bundle.js")
    for path in (*described, "/", "/docs", "/openapi.json", *files, "/nowhere", "/predict"):
        address = path.format(name="model", version="1")
        get, head = client.get(address), client.head(address)
        assert head.status_code == get.status_code, path
        assert head.content == b""
        own = {"x-request-id", "date", "content-length" if path == "/metrics" else ""}
        assert {name: value for name, value in head.headers.items() if name not in own} == {
            name: value for name, value in get.headers.items() if name not in own
        }


def test_a_prefix_of_a_proxy_is_in_the_document_and_removed_from_requests(
    serve_app, make_app, models
):
    client = serve_app(make_app({"model": models["languages"]}, root_path="/clf"))
    for prefix in ("", "/clf"):
        assert client.get(f"{prefix}/openapi.json").json()["servers"] == [{"url": "/clf"}]
        assert "url: 'openapi.json'" in client.get(f"{prefix}/docs").text
        assert client.get(f"{prefix}/page/swagger-ui.css").status_code == 200
        assert client.post(f"{prefix}/predict", json={"inputs": "who"}).status_code == 200
    assert client.get("/clfx/health/live").status_code == 404


def shape(value):
    """The keys and types of a value of JSON; a list is as its first element."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(inner) for inner in value[:1]]
    return float if isinstance(value, int | float) else type(value)


def test_the_documented_requests_get_the_documented_answers(client):
    shown = re.findall(
        r"^curl http://127.0.0.1:8000(\S+) --json '(.*)'\n```\n\n```\n(.*)$", PAGE, re.MULTILINE
    )
    assert len(shown) == 5
    for path, body, answer in shown:
        address = "/models/colours/predict" if "above_threshold" in body else path
        response = client.post(address, content=body)
        assert response.status_code == 200
        if "above_threshold" not in body:  # texts of another model
            assert shape(response.json()) == shape(json.loads(answer)), path


def test_the_documented_program_for_triton_runs(client, classifier, capsys):
    (program,) = re.findall(r"```python\n(import numpy.*?)```", PAGE, re.DOTALL)
    address = f"{client.base_url.host}:{client.base_url.port}"
    exec(program.replace("127.0.0.1:8000", address), variables := {})
    variables["client"].close()
    label, other = classifier.predict(["Where is the nearest station?", "How far?"])
    assert capsys.readouterr().out.startswith(f"[b'{label}' b'{other}'] [")


class TestSecurity:
    def test_with_keys(self, serve_app, make_app, keys):
        client = serve_app(make_app(api_keys_file=keys.file))
        document = client.get("/openapi.json").json()
        assert set(document["components"]["securitySchemes"]) == {"bearer", "header"}
        for path, operations in document["paths"].items():
            is_open = "/health/" in path
            for operation in operations.values():
                assert ("security" in operation) != is_open, path
                assert ("401" in operation["responses"]) != is_open, path
        assert document["paths"]["/predict"]["post"]["security"] == [{"bearer": []}, {"header": []}]
        for method, path in (("post", "/predict"), ("get", "/v2")):
            answer = httpx.request(method, f"{client.base_url}{path}", trust_env=False)
            content = document["paths"][path][method]["responses"]["401"]["content"]
            schema = content[answer.headers["content-type"]]["schema"]
            validate(answer.json(), schema, document)

    def test_without_keys(self, document):
        assert "securitySchemes" not in document["components"]
        assert '"security"' not in json.dumps(document)
        assert '"401"' not in json.dumps(document)
