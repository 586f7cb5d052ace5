"""Problem documents: what an exception of a route becomes, JSON pointers, the documentation."""

import json
import re
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.testclient import TestClient

from gatewise.service.serving.http.protocol import exception_handlers, problems
from gatewise.service.serving.http.protocol.problems import (
    FieldError,
    Kind,
    ProblemError,
    invalid_request,
    pointer,
)

PAGE = (Path(__file__).parents[5] / "docs" / "service.md").read_text(encoding="utf-8")
KINDS = [value for value in vars(problems).values() if isinstance(value, Kind)]


def problem(response):
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert document["status"] == response.status_code
    assert {"type", "title", "status", "detail", "instance"} <= document.keys()
    return document


@pytest.fixture(scope="module")
def client():
    app = FastAPI()
    exception_handlers.install(app)

    @app.get("/number/{number}")
    async def number(number: int) -> int:
        return number

    @app.get("/{error}")
    async def fail(error: str) -> None:
        raise {
            "surrogate": invalid_request(
                [FieldError(detail="no \ud800", pointer=pointer(("\ud800",)))]
            ),
            "many": invalid_request([FieldError(detail="wrong", pointer="#/a")] * 1000),
            "headers": ProblemError(problems.NOT_READY, "wait", headers={"Retry-After": "7"}),
            "teapot": HTTPException(418, "short and stout"),
            "broken": RuntimeError("the password is swordfish"),
        }[error]

    return TestClient(app, raise_server_exceptions=False)


def test_an_unknown_path_and_a_wrong_method(client):
    document = problem(client.get("/no/such%20path%ff"))
    assert document["type"] == "urn:gatewise:problem:no-route"
    assert document["instance"].startswith("/no/such%20path")
    response = client.post("/headers")
    assert problem(response)["type"] == "urn:gatewise:problem:wrong-method"
    assert (response.status_code, response.headers["allow"]) == (405, "GET, HEAD")


def test_an_unexpected_exception_reveals_no_internals(client):
    response = client.get("/broken")
    assert problem(response)["type"] == "urn:gatewise:problem:unexpected"
    assert response.status_code == 500
    assert "swordfish" not in response.text
    assert "RuntimeError" not in response.text
    # The server may drop the connection after it.
    assert response.headers["connection"] == "close"


def test_other_refusals(client):
    document = problem(client.get("/number/seven"))
    assert document["type"] == "urn:gatewise:problem:invalid-request"
    assert document["errors"][0]["pointer"] == "#/path/number"
    document = problem(client.get("/teapot"))
    assert (document["status"], document["title"]) == (418, "I'm a Teapot")
    assert document["detail"] == "short and stout"
    assert client.get("/headers").headers["retry-after"] == "7"
    document = problem(client.get("/surrogate"))
    assert document["errors"] == [{"detail": "no \ud800", "pointer": "#/%3F"}]
    document = problem(client.get("/many"))
    assert len(document["errors"]) == 20
    assert document["detail"] == "#/a: wrong (and 999 more)"


@pytest.mark.parametrize(
    ("location", "document", "expected"),
    [
        ((), None, "#"),
        (("a", 0), None, "#/a/0"),
        (("inputs", "texts", 1), {"inputs": ["a", 1]}, "#/inputs/1"),
        (("inputs", "texts"), {"inputs": []}, "#/inputs"),
        (("inputs", "text"), {"inputs": "a"}, "#/inputs"),
        (("missing",), {}, "#/missing"),
        (("a/b", "c~d"), {"a/b": {"c~d": 1}}, "#/a~1b/c~0d"),
        (("é %",), {"é %": 1}, "#/%C3%A9%20%25"),
    ],
)
def test_pointers(location, document, expected):
    assert pointer(location, document) == expected


def test_every_kind_is_documented():
    documented = re.findall(r"^\| ([45]\d\d) \| `(\S+)` \|", PAGE, re.MULTILINE)
    assert sorted(documented) == sorted((str(kind.status), kind.name) for kind in KINDS)


def test_the_documented_example_is_a_problem():
    example = re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)[1]
    document = problems.Problem.model_validate(json.loads(example))
    assert document.type == problems.INVALID_REQUEST.type
