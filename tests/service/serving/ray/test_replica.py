"""A Ray replica without a cluster: the health that it reports, and how it applies changes."""

import gc
import sys

import pytest
from starlette.responses import Response
from starlette.testclient import TestClient

from gatewise.service.model.errors import ModelFolderError
from gatewise.service.serving.model_registry import Change, NotReadyError
from gatewise.service.serving.ray.replica import (
    REFUSED,
    Replica,
    ReplicaError,
    without_request_id,
)
from gatewise.service.serving.settings import Settings

pytestmark = [pytest.mark.ray, pytest.mark.anyio]


@pytest.fixture
async def replica(model_folder, monkeypatch):
    interval = sys.getswitchinterval()
    monkeypatch.setattr("gatewise.service.serving.ray.replica.serve.get_replica_context", Context)
    replica = Replica(Settings(model=(f"m={model_folder}",), sessions=1))
    replica._catch_ups = 2
    yield replica
    await replica._models.close()
    sys.setswitchinterval(interval)
    gc.unfreeze()


class Context:
    replica_tag = "this"


async def test_a_replica_is_well_while_every_model_answers(replica, monkeypatch):
    await replica.check_health()
    served = replica._models.find("m")

    def fail(encoded):
        raise ModelFolderError("broken")

    monkeypatch.setattr(served.classifier, "logits", fail)
    with pytest.raises(ModelFolderError, match="broken"):
        await replica.check_health()


async def test_a_model_without_a_version_is_not_well(replica):
    served = replica._models.model("m").served.popitem()[1]
    with pytest.raises(NotReadyError):
        await replica.check_health()
    await served.close()


async def test_a_change_is_made_once_and_sent_to_new_replicas(replica):
    version = replica._models.versions("m")[0]
    change = Change("share", "m", shares={version: 1.0})

    assert await replica.follow(change, "this") is None
    assert replica._models.model("m").shares is None
    assert await replica.follow(change, "another") is None
    assert replica._models.model("m").shares == {version: 1.0}
    assert await replica.changes() == [change]
    reason = await replica.follow(Change("unload", "m", version), "another")
    assert "only one" in reason
    assert await replica.changes() == [change]


def test_the_request_id_is_left_to_the_proxy():
    app = without_request_id(Response("done", headers={"X-Request-ID": "1", "X-Other": "2"}))
    response = TestClient(app).get("/")
    assert "x-request-id" not in response.headers
    assert response.headers["x-other"] == "2"


def test_a_folder_that_is_missing_here_names_the_node(tmp_path):
    with pytest.raises(ReplicaError, match=f"{REFUSED}[0-9.]+: {tmp_path}/none: "):
        Replica(Settings(model=(str(tmp_path / "none"),)))
