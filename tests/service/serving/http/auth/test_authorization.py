"""Keys and roles over a real connection: who may do what, and what no answer or log reveals."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import numpy as np
import pytest
import tritonclient.http as triton
from fastapi import Depends, FastAPI
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError
from tritonclient.utils import InferenceServerException

from gatewise.service.serving.http.auth import api_keys, authorization
from gatewise.service.serving.http.auth.api_keys import ApiKeys, Role, make_key
from gatewise.service.serving.settings import Settings

PREDICT, PREDICTS = make_key("web", Role.PREDICT)
ADMIN, ADMINS = make_key("operator", Role.ADMIN)
WRONG = make_key("stranger", Role.ADMIN)[0]

MakeApp = Callable[..., FastAPI]
ServeApp = Callable[[FastAPI], httpx.Client]


def with_admin_route(app: FastAPI) -> FastAPI:
    """Adds a route for admins, and one that fails."""

    @app.post("/admin", dependencies=[Depends(authorization.require(Role.ADMIN))])
    async def changed() -> str:
        return "changed"

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("the inside")

    return app


@pytest.fixture(scope="module")
def keys_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("keys") / "keys.jsonl"
    for entry in (PREDICTS, ADMINS):
        api_keys.add(file, entry)
    return file


@pytest.fixture(scope="module")
def client(serve_app: ServeApp, make_app: MakeApp, keys_file: Path) -> httpx.Client:
    settings = Settings(api_keys_file=keys_file, cors_origins="https://app.example")
    return serve_app(with_admin_route(make_app(settings)))


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def predict(client: httpx.Client, headers: dict[str, str]) -> httpx.Response:
    return client.post("/predict", json={"inputs": "who"}, headers=headers)


def refused(response: httpx.Response, status: int, kind: str) -> str:
    assert response.status_code == status
    document = response.json()
    assert document["type"] == f"urn:gatewise:problem:{kind}"
    detail: str = document["detail"]
    return detail


class TestRoles:
    @pytest.mark.parametrize("key", [PREDICT, ADMIN], ids=["predict", "admin"])
    def test_either_header_authorizes(self, client: httpx.Client, key: str) -> None:
        assert predict(client, bearer(key)).status_code == 200
        assert predict(client, {"X-API-Key": key}).status_code == 200

    @pytest.mark.parametrize("headers", [{}, bearer(WRONG)])
    def test_a_request_without_a_valid_key_gets_401(
        self, client: httpx.Client, headers: dict[str, str]
    ) -> None:
        response = predict(client, headers)
        detail = refused(response, 401, "unauthorized")
        assert detail.startswith("expected a valid API key, as Authorization: Bearer KEY")
        assert response.headers["www-authenticate"] == "Bearer"

    def test_an_admin_route_needs_the_role_admin(self, client: httpx.Client) -> None:
        assert client.post("/admin", headers=bearer(ADMIN)).json() == "changed"
        detail = refused(client.post("/admin", headers=bearer(PREDICT)), 403, "forbidden")
        assert detail == "expected an API key with the role admin, not predict"
        refused(client.post("/admin"), 401, "unauthorized")

    def test_no_body_is_read_without_a_key(self, client: httpx.Client) -> None:
        refused(client.post("/predict", content=b"{"), 401, "unauthorized")
        refused(client.post("/predict", content=b"x" * 3_000_000), 401, "unauthorized")

    def test_every_path_but_the_open_ones_needs_a_key(self, client: httpx.Client) -> None:
        for path in ("/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready"):
            assert client.get(path).status_code == 200
        for path in ("/docs", "/openapi.json"):
            assert client.get(path).status_code == 200
        for path in ("/docs/", "/health", "/health/live/x", "/nothing"):
            assert client.get(path).status_code == 401
            assert client.get(path, headers=bearer(PREDICT)).status_code == 404
        for path in ("/v2", "/v2/models/languages", "/v2/models/languages/ready"):
            assert client.get(path).status_code == 401
            assert client.get(path, headers=bearer(PREDICT)).status_code == 200
        assert client.post("/v2/models/languages/infer").status_code == 401

    def test_below_v2_a_refusal_has_the_shape_of_the_protocol(self, client: httpx.Client) -> None:
        response = client.get("/v2/models/languages", headers=bearer(WRONG))
        assert response.headers["www-authenticate"] == "Bearer"
        assert response.headers["content-type"] == "application/json"
        assert list(response.json()) == ["error"]

    def test_without_keys_everyone_may_predict_and_nobody_is_admin(
        self, serve_app: ServeApp, make_app: MakeApp
    ) -> None:
        client = serve_app(with_admin_route(make_app()))
        assert predict(client, {}).status_code == 200
        assert predict(client, bearer(WRONG)).status_code == 200
        assert "GATEWISE_API_KEYS_FILE" in refused(client.post("/admin"), 403, "forbidden")


class TestClients:
    def test_the_hugging_face_client(self, client: httpx.Client) -> None:
        url = str(client.base_url.join("/predict"))
        assert InferenceClient(url, token=PREDICT).text_classification("where is it")
        with pytest.raises(HfHubHTTPError) as denied:
            InferenceClient(url, token=WRONG).text_classification("where is it")
        assert denied.value.response.status_code == 401

    def test_the_triton_client(self, client: httpx.Client) -> None:
        address = f"{client.base_url.host}:{client.base_url.port}"
        tensor = triton.InferInput("text", [1], "BYTES")
        tensor.set_data_from_numpy(np.array([b"who"], dtype=np.object_))
        opened = triton.InferenceServerClient(address)
        assert opened.is_server_ready()
        answer = opened.infer("languages", [tensor], headers=bearer(PREDICT))
        assert answer.as_numpy("label").shape == (1,)
        with pytest.raises(InferenceServerException, match="expected a valid API key") as denied:
            opened.infer("languages", [tensor], headers=bearer(WRONG))
        assert denied.value.status() == "401"
        opened.close()


@pytest.mark.parametrize(
    ("headers", "sent"),
    [([], [401]), ([(b"x-api-key", PREDICT.encode())], [])],
)
def test_a_websocket_needs_a_key_too(
    keys_file: Path, headers: list[tuple[bytes, bytes]], sent: list[int]
) -> None:
    statuses: list[Any] = []
    passed: list[Any] = []

    async def inside(scope: Any, receive: Any, send: Any) -> None:
        passed.append(scope)

    async def send(message: Any) -> None:
        if message["type"] == "websocket.http.response.start":
            statuses.append(message["status"])

    scope = {"type": "websocket", "path": "/stream", "headers": headers}
    middleware = authorization.AuthMiddleware(inside, ApiKeys(keys_file))
    asyncio.run(middleware(scope, None, send))  # type: ignore[arg-type]
    assert (statuses, bool(passed)) == (sent, not sent)


def test_keys_change_under_a_running_service(
    serve_app: ServeApp, make_app: MakeApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "keys.jsonl"
    api_keys.add(file, PREDICTS)
    app = make_app(Settings(api_keys_file=file))
    client = serve_app(app)
    assert predict(client, bearer(PREDICT)).status_code == 200
    new, entry = make_key("web", Role.PREDICT)
    api_keys.add(file, entry)
    # As if a second had passed.
    monkeypatch.setattr(app.context.keys, "_next_read", 0.0)
    assert [predict(client, bearer(key)).status_code for key in (PREDICT, new)] == [200, 200]
    file.write_text(f"{entry.line()}\n")
    monkeypatch.setattr(app.context.keys, "_next_read", 0.0)
    assert [predict(client, bearer(key)).status_code for key in (PREDICT, new)] == [401, 200]
    file.write_text("broken")
    monkeypatch.setattr(app.context.keys, "_next_read", 0.0)
    assert [predict(client, bearer(key)).status_code for key in (PREDICT, new)] == [401, 200]


def test_no_answer_and_no_log_has_a_key(
    client: httpx.Client, keys_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    # These loggers belong to the client.
    for name in ("httpx", "httpcore"):
        caplog.set_level(logging.WARNING, name)
    secrets = [PREDICT, ADMIN, WRONG, PREDICTS.sha256, ADMINS.sha256, str(keys_file)]
    said = ""
    for key in (PREDICT, ADMIN, WRONG):
        for headers in (bearer(key), {"X-API-Key": key}, {"Authorization": f"Basic {key}"}):
            answers = [
                predict(client, headers),
                client.post("/predict", content=b"{", headers=headers),
                client.post("/admin", headers=headers),
                client.get("/broken", headers=headers),
                client.get("/nothing", headers=headers),
                client.get("/v2/models/nothing", headers=headers),
                client.post("/v2/models/languages/infer", content=b"{", headers=headers),
            ]
            said += "".join(f"{dict(answer.headers)}{answer.text}" for answer in answers)
    assert "the inside" in caplog.text  # the log is on
    for secret in secrets:
        assert secret not in said
        assert secret not in caplog.text


SECURITY = {
    "cache-control": "no-store",
    "content-security-policy": "frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


class TestHeaders:
    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("POST", "/predict", 200),
            ("GET", "/health/live", 200),
            ("GET", "/nothing", 404),
            ("PUT", "/predict", 405),
            ("GET", "/broken", 500),
            ("POST", "/v2/models/no/infer", 404),
        ],
    )
    def test_every_answer_has_the_security_and_cors_headers(
        self, client: httpx.Client, method: str, path: str, status: int
    ) -> None:
        headers = {**bearer(PREDICT), "Origin": "https://app.example"}
        response = client.request(method, path, json={"inputs": "who"}, headers=headers)
        assert response.status_code == status
        assert SECURITY.items() <= dict(response.headers).items()
        # So that a page can read an error too.
        assert response.headers["access-control-allow-origin"] == "https://app.example"
        assert response.headers["vary"] == "Origin"

    def test_a_preflight_needs_no_key(self, client: httpx.Client) -> None:
        asked = {
            "Origin": "https://app.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization, content-type",
        }
        response = client.options("/predict", headers=asked)
        assert response.status_code == 200
        assert response.headers["access-control-allow-origin"] == "https://app.example"
        foreign = client.options("/predict", headers={**asked, "Origin": "https://other.example"})
        assert foreign.status_code == 400
        assert "access-control-allow-origin" not in foreign.headers

    def test_cors_is_off_unless_it_is_set(self, serve_app: ServeApp, make_app: MakeApp) -> None:
        client = serve_app(make_app())
        response = predict(client, {"Origin": "https://app.example"})
        assert response.status_code == 200
        assert not [name for name in response.headers if name.startswith("access-control")]
        assert SECURITY.items() <= dict(response.headers).items()
        assert (
            client.options("/predict", headers={"Origin": "https://a.example"}).status_code == 405
        )


class TestDocument:
    def described(self, client: httpx.Client) -> Any:
        return client.get("/openapi.json").json()

    def test_with_keys(self, client: httpx.Client) -> None:
        document = self.described(client)
        assert set(document["components"]["securitySchemes"]) == {"bearer", "header"}
        for path, operations in document["paths"].items():
            is_open = "/health/" in path
            for operation in operations.values():
                assert ("security" in operation) != is_open, path
                assert ("401" in operation["responses"]) != is_open, path
        predict = document["paths"]["/predict"]["post"]
        assert predict["security"] == [{"bearer": []}, {"header": []}]

    def test_a_refusal_is_as_described(self, client: httpx.Client) -> None:
        document = self.described(client)
        for method, path in (("post", "/predict"), ("get", "/v2")):
            answer = client.request(method, path)
            content = document["paths"][path][method]["responses"]["401"]["content"]
            schema = content[answer.headers["content-type"]]["schema"]
            jsonschema.validate(answer.json(), {**schema, "components": document["components"]})

    def test_without_keys(self, serve_app: ServeApp, make_app: MakeApp) -> None:
        document = self.described(serve_app(make_app()))
        assert "securitySchemes" not in document["components"]
        for operations in document["paths"].values():
            for operation in operations.values():
                assert "security" not in operation
                assert "401" not in operation["responses"]
