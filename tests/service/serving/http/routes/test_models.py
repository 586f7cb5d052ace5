"""`/models`: the versions of models, their properties, and changes by admins."""

import logging

import pytest

from gatewise.service.model.classifier import Classifier
from gatewise.service.serving.app import create_app
from gatewise.service.serving.settings import Settings

BODY = {"inputs": "where is the station"}


def test_the_properties_of_each_version(serve_app, make_app, models, forward_folder):
    client = serve_app(make_app({**models, "forward": Classifier.load(forward_folder())}))
    listed = client.get("/models").json()["models"]
    found = {model["name"]: model["versions"][0] for model in listed}
    assert {
        name: (one["task"], one["none_label"], one["streams"]) for name, one in found.items()
    } == {
        "languages": ("single_label", None, False),
        "colours": ("multi_label", None, False),
        "rejecting": ("single_label", "no language", False),
        "forward": ("single_label", None, True),
    }
    assert {model["name"] for model in listed if model["default"]} == {"languages"}


@pytest.fixture
def client(serve_app, versions, model_folder, put, keys, wait_until):
    """A client with a key, of a service with the versions 1 and 2 of `m`."""
    put(model_folder, versions / "2")
    client = serve_app(create_app(Settings(model=versions, api_keys_file=keys.file)))
    client.headers.update(keys.predict)
    wait_until(lambda: client.get("/health/ready").status_code == 200)
    wait_until(lambda: len(client.get("/models/m").json()["versions"]) == 2)
    return client


def shares(client):
    model = client.get("/models/m").json()
    return {version["version"]: version["traffic"] for version in model["versions"]}


def test_versions_are_changed_by_admins_only(client, keys):
    assert shares(client) == {"1": 0, "2": 1}
    changed = {"shares": {"1": 1, "2": 3}}
    for key, status in ((None, 401), (keys.predict, 403), (keys.admin, 200)):
        headers = key or {"Authorization": ""}
        answer = client.put("/models/m/traffic", json=changed, headers=headers)
        assert answer.status_code == status
    assert shares(client) == {"1": 0.25, "2": 0.75}
    chosen = [client.post("/predict", json=BODY).headers["gatewise-version"] for _ in range(40)]
    assert 8 <= chosen.count("1") <= 12
    for version, status in (("3", 404), ("2", 200), ("1", 409)):
        answer = client.delete(f"/models/m/versions/{version}", headers=keys.admin)
        assert answer.status_code == status
    assert shares(client) == {"1": 1}
    assert client.post("/models/m/versions/2/predict", json=BODY).status_code == 404
    assert client.post("/models/m/versions/2/load", headers=keys.admin).status_code == 200
    assert set(shares(client)) == {"1", "2"}
    for body, status in (
        ({"shares": {"1": -1}}, 422),
        ({"shares": {"1": 0}}, 422),
        ({"shares": {"9": 1}}, 404),
        ({"share": {}}, 422),
        ({"shares": None}, 200),
    ):
        answer = client.put("/models/m/traffic", json=body, headers=keys.admin)
        assert answer.status_code == status, body


def test_who_changed_what_is_recorded(client, keys, caplog):
    caplog.set_level(logging.INFO, "gatewise.audit")
    headers = {**keys.admin, "X-Request-ID": "mine"}
    client.put("/models/m/traffic", json={"shares": {"1": 1, "2": 3}}, headers=headers)
    client.delete("/models/m/versions/2", headers=headers)
    client.delete("/models/m/versions/1", headers=headers)
    client.post("/models/m/reload", headers=headers)
    client.post("/models/m/versions/2/load", headers=headers)
    lines = [one for one in caplog.records if one.name == "gatewise.audit"]
    who = {"by": "admin", "model": "m", "client": "127.0.0.1", "request_id": "mine"}
    for line in lines:
        assert who.items() <= line.fields.items()
    reason = "the version '1' is the only one of 'm' that gets requests: load another version"
    assert lines[2].fields.pop("refused").startswith(reason)
    rest = [
        {name: value for name, value in line.fields.items() if name not in who} for line in lines
    ]
    assert rest == [
        {"audit": "share", "shares": {"1": 1, "2": 3}},
        {"audit": "unload", "version": "2", "unloaded": ["2"]},
        {"audit": "unload", "version": "1"},
        {"audit": "reload"},
        {"audit": "load", "version": "2", "loaded": ["2"]},
    ]
    assert lines[0].getMessage().startswith('audit="share" by="admin" model="m" ')


def test_metrics_are_of_the_versions_that_are_served(client, keys):
    def series():
        metrics = client.get("/metrics", headers=keys.admin).text
        return {version for version in ("1", "2") if f'model="m",version="{version}"' in metrics}

    for version in ("1", "2"):
        path = f"/models/m/versions/{version}/predict"
        assert client.post(path, json=BODY).status_code == 200
    assert series() == {"1", "2"}
    assert client.delete("/models/m/versions/1", headers=keys.admin).status_code == 200
    assert series() == {"2"}


def test_a_version_that_does_not_load_changes_nothing(client, versions, model_folder, put, keys):
    put(model_folder, versions / "3")
    (versions / "3" / "config.json").write_text("{}")
    answer = client.post("/models/m/reload", headers=keys.admin)
    assert answer.status_code == 409
    assert answer.json()["type"] == "urn:gatewise:problem:not-loaded"
    assert "config.json" in answer.json()["detail"]
    found = client.get("/models/m").json()["versions"]
    states = [(version["version"], version["state"]) for version in found]
    assert states == [("1", "ready"), ("2", "ready"), ("3", "failed")]
    assert client.post("/predict", json=BODY).headers["gatewise-version"] == "2"
