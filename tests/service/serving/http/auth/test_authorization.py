"""Keys and roles over a real connection: who may do what, and what no answer or log reveals."""

import logging

import numpy as np
import pytest
import tritonclient.http as triton
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError
from tritonclient.utils import InferenceServerException

from gatewise.service.serving.http.auth import api_keys
from gatewise.service.serving.http.auth.api_keys import Role, make_key
from gatewise.service.serving.http.routes import monitoring

PREDICT, PREDICTS = make_key("web", Role.PREDICT)
ADMIN, ADMINS = make_key("operator", Role.ADMIN)
WRONG = make_key("stranger", Role.ADMIN)[0]
CHANGE = "/models/languages/traffic"
SHARES = {"shares": None}
ORIGIN = {"Origin": "https://app.example"}


@pytest.fixture(scope="module")
def keys_file(tmp_path_factory):
    file = tmp_path_factory.mktemp("keys") / "keys.jsonl"
    for entry in (PREDICTS, ADMINS):
        api_keys.add(file, entry)
    return file


@pytest.fixture(scope="module")
def client(serve_app, make_app, keys_file):
    return serve_app(make_app(api_keys_file=keys_file, cors_origins=ORIGIN["Origin"]))


@pytest.fixture(scope="module")
def without_keys(serve_app, make_app):
    return serve_app(make_app())


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


def predict(client, headers):
    return client.post("/predict", json={"inputs": "who"}, headers=headers)


def change(client, headers):
    return client.put(CHANGE, json=SHARES, headers=headers)


def refused(response, status, kind):
    assert response.status_code == status
    document = response.json()
    assert document["type"] == f"urn:gatewise:problem:{kind}"
    return document["detail"]


class TestRoles:
    def test_either_header_authorizes(self, client):
        for key in (PREDICT, ADMIN):
            assert predict(client, bearer(key)).status_code == 200
            assert predict(client, {"X-API-Key": key}).status_code == 200

    @pytest.mark.parametrize("headers", [{}, bearer(WRONG)])
    def test_a_request_without_a_valid_key_gets_401(self, client, headers):
        response = predict(client, headers)
        detail = refused(response, 401, "unauthorized")
        assert detail.startswith("expected a valid API key, as Authorization: Bearer KEY")
        assert response.headers["www-authenticate"] == "Bearer"
        # No body is read without a key.
        for body in (b"{", b"x" * 3_000_000):
            answer = client.post("/predict", content=body, headers=headers)
            refused(answer, 401, "unauthorized")

    def test_an_admin_route_needs_the_role_admin(self, client):
        assert change(client, bearer(ADMIN)).status_code == 200
        detail = refused(change(client, bearer(PREDICT)), 403, "forbidden")
        assert detail == "expected an API key with the role admin, not predict"
        refused(change(client, {}), 401, "unauthorized")

    def test_every_path_but_the_open_ones_needs_a_key(self, client):
        for path in ("/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready"):
            assert client.get(path).status_code == 200
        for path in ("/docs", "/openapi.json", "/"):
            assert client.get(path).status_code == 200
        for path in ("/docs/", "/health", "/health/live/x", "/nothing"):
            assert client.get(path).status_code == 401
            assert client.get(path, headers=bearer(PREDICT)).status_code == 404
        for path in ("/metrics", "/models", "/v2", "/v2/models/languages/ready"):
            assert client.get(path).status_code == 401
            assert client.get(path, headers=bearer(PREDICT)).status_code == 200
        response = client.post("/v2/models/languages/infer")
        assert response.status_code == 401
        # Below /v2 a refusal has the shape of the protocol.
        assert response.headers["www-authenticate"] == "Bearer"
        assert response.headers["content-type"] == "application/json"
        assert list(response.json()) == ["error"]

    def test_without_keys_everyone_may_predict_and_nobody_is_admin(self, without_keys):
        assert predict(without_keys, {}).status_code == 200
        assert predict(without_keys, bearer(WRONG)).status_code == 200
        assert "GATEWISE_API_KEYS_FILE" in refused(change(without_keys, {}), 403, "forbidden")

    def test_the_clients_of_hugging_face_and_triton_send_a_key(self, client):
        url = str(client.base_url.join("/predict"))
        assert InferenceClient(url, token=PREDICT).text_classification("where is it")
        with pytest.raises(HfHubHTTPError) as denied:
            InferenceClient(url, token=WRONG).text_classification("where is it")
        assert denied.value.response.status_code == 401
        tensor = triton.InferInput("text", [1], "BYTES")
        tensor.set_data_from_numpy(np.array([b"who"], dtype=np.object_))
        opened = triton.InferenceServerClient(f"127.0.0.1:{client.base_url.port}")
        assert opened.is_server_ready()
        answer = opened.infer("languages", [tensor], headers=bearer(PREDICT))
        assert answer.as_numpy("label").shape == (1,)
        with pytest.raises(InferenceServerException, match="expected a valid API key") as denied:
            opened.infer("languages", [tensor], headers=bearer(WRONG))
        assert denied.value.status() == "401"
        opened.close()


class TestRateLimit:
    def test_a_key_above_its_rate_gets_429_before_its_body_is_read(
        self, serve_app, make_app, tmp_path
    ):
        file = tmp_path / "keys.jsonl"
        made = {
            "slow": make_key("slow", Role.PREDICT, requests_per_second=0.01),
            "usual": make_key("usual", Role.PREDICT),
            "fast": make_key("fast", Role.PREDICT, requests_per_second=1000),
        }
        for _, entry in made.values():
            api_keys.add(file, entry)
        client = serve_app(make_app(api_keys_file=file, key_requests_per_second=0.02))
        for name, seconds in (("slow", 100), ("usual", 50)):
            headers = bearer(made[name][0])
            assert predict(client, headers).status_code == 200
            answer = client.post("/predict", content=b"{", headers=headers)
            detail = refused(answer, 429, "rate-limited")
            assert detail.startswith(f"the API key '{name}' sends more requests a second")
            assert seconds - 10 < int(answer.headers["retry-after"]) <= seconds
            other = client.get("/v2", headers=headers)
            assert (other.status_code, list(other.json())) == (429, ["error"])
            # Probes need no key, and what has none has no limit.
            assert client.get("/health/ready", headers=headers).status_code == 200
        headers = bearer(made["fast"][0])
        assert {predict(client, headers).status_code for _ in range(20)} == {200}
        metrics = client.get("/metrics", headers=headers).text
        assert 'gatewise_key_requests_total{key="slow",status="429"} 2.0' in metrics
        assert 'gatewise_requests_total{model="",route="/predict",status="429"' in metrics


@pytest.fixture
def broken(monkeypatch):
    """A path whose route fails."""

    def fail(request):
        raise RuntimeError("the inside")

    monkeypatch.setattr(monitoring, "app_context", fail)
    return "/health/ready"


def test_no_answer_and_no_log_has_a_key(client, broken, keys_file, caplog):
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
                change(client, headers),
                client.get(broken, headers=headers),
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
    def test_every_answer_has_the_security_and_cors_headers(self, client, broken):
        for method, path, status in (
            ("POST", "/predict", 200),
            ("GET", "/health/live", 200),
            ("GET", "/nothing", 404),
            ("PUT", "/predict", 405),
            ("GET", broken, 500),
            ("POST", "/v2/models/no/infer", 404),
        ):
            headers = {**bearer(PREDICT), **ORIGIN}
            response = client.request(method, path, json={"inputs": "who"}, headers=headers)
            assert response.status_code == status
            assert SECURITY.items() <= dict(response.headers).items()
            # So that a page can read an error too.
            assert response.headers["access-control-allow-origin"] == ORIGIN["Origin"]
            assert response.headers["vary"] == "Origin"

    def test_a_preflight_needs_no_key(self, client):
        preflight = {
            **ORIGIN,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization, content-type, x-api-key",
        }
        response = client.options("/predict", headers=preflight)
        assert response.status_code == 200
        assert response.headers["access-control-allow-origin"] == ORIGIN["Origin"]
        assert "POST" in response.headers["access-control-allow-methods"]
        assert response.headers["x-content-type-options"] == "nosniff"
        foreign = {**preflight, "Origin": "https://other.example"}
        response = client.options("/predict", headers=foreign)
        assert response.status_code == 400
        assert "access-control-allow-origin" not in response.headers
