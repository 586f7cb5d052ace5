import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.exceptions import HTTPException

from gatewise.service.serving.http.protocol import exception_handlers, problems
from gatewise.service.serving.http.protocol.problems import (
    FieldError,
    Kind,
    ProblemError,
    invalid_request,
    pointer,
)

SERVICE_PAGE = Path(__file__).parents[5] / "docs" / "service.md"
KINDS = [value for value in vars(problems).values() if isinstance(value, Kind)]


def problem(response: httpx.Response) -> dict[str, Any]:
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert document["status"] == response.status_code
    assert {"type", "title", "status", "detail", "instance"} <= document.keys()
    return document


@pytest.fixture(scope="module")
def client(serve_app: Callable[[FastAPI], httpx.Client]) -> httpx.Client:
    app = FastAPI()
    exception_handlers.install(app)

    @app.get("/lone-surrogate")
    async def lone_surrogate() -> None:
        raise invalid_request([FieldError(detail="no \ud800", pointer=pointer(("\ud800",)))])

    @app.get("/many")
    async def many() -> None:
        place = FieldError(detail="wrong", pointer="#/a")
        raise invalid_request([place] * 1000)

    @app.get("/headers")
    async def headers() -> None:
        raise ProblemError(problems.NOT_READY, "wait", headers={"Retry-After": "7"})

    @app.get("/teapot")
    async def teapot() -> None:
        raise HTTPException(418, "short and stout")

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("the password is swordfish")

    @app.get("/number/{number}")
    async def number(number: int) -> int:
        return number

    return serve_app(app)


def test_an_unknown_path(client: httpx.Client) -> None:
    document = problem(client.get("/no/such%20path%ff"))
    assert document["type"] == "urn:gatewise:problem:no-route"
    assert document["instance"].startswith("/no/such%20path")


def test_a_wrong_method_names_the_right_one(client: httpx.Client) -> None:
    response = client.post("/headers")
    assert problem(response)["type"] == "urn:gatewise:problem:wrong-method"
    assert response.status_code == 405
    assert response.headers["allow"] == "GET"


def test_an_unexpected_exception_reveals_no_internals(client: httpx.Client) -> None:
    response = client.get("/broken")
    assert problem(response)["type"] == "urn:gatewise:problem:unexpected"
    assert response.status_code == 500
    assert "swordfish" not in response.text
    assert "RuntimeError" not in response.text


def test_a_client_can_retry_after_an_unexpected_exception(client: httpx.Client) -> None:
    for _ in range(20):
        assert client.get("/broken").status_code == 500
        assert client.get("/number/7").status_code == 200


def test_a_parameter_that_fastapi_refuses(client: httpx.Client) -> None:
    document = problem(client.get("/number/seven"))
    assert document["type"] == "urn:gatewise:problem:invalid-request"
    assert document["errors"][0]["pointer"] == "#/path/number"


def test_other_refusals_of_starlette_keep_their_status(client: httpx.Client) -> None:
    document = problem(client.get("/teapot"))
    assert (document["status"], document["title"]) == (418, "I'm a Teapot")
    assert document["detail"] == "short and stout"


def test_headers_are_sent(client: httpx.Client) -> None:
    assert client.get("/headers").headers["retry-after"] == "7"


def test_a_lone_surrogate_can_be_quoted(client: httpx.Client) -> None:
    assert problem(client.get("/lone-surrogate"))["errors"] == [
        {"detail": "no \ud800", "pointer": "#/%3F"}
    ]


def test_the_list_of_errors_is_bounded(client: httpx.Client) -> None:
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
def test_pointers(location: tuple[str | int, ...], document: Any, expected: str) -> None:
    assert pointer(location, document) == expected


def test_kinds_have_unique_types() -> None:
    assert len({kind.type for kind in KINDS}) == len(KINDS)


def test_responses_are_described_by_status() -> None:
    described = problems.responses(*KINDS)
    assert set(described) == {kind.status for kind in KINDS}
    assert described[422]["description"] == "The request is not valid; A text is empty"


def test_every_kind_is_documented() -> None:
    page = SERVICE_PAGE.read_text()
    rows = [line.split(" | ") for line in page.splitlines() if line[:3] in ("| 4", "| 5")]
    documented = {(int(row[0].strip("| ")), row[1].strip("` ")) for row in rows}
    assert documented == {(kind.status, kind.name) for kind in KINDS}


def test_the_documented_example_is_a_problem() -> None:
    example = SERVICE_PAGE.read_text().split("```json\n")[1].split("```")[0]
    document = problems.Problem.model_validate(json.loads(example))
    assert document.type == problems.INVALID_REQUEST.type
