"""The registry: versions are loaded, replaced, weighted and unloaded while they answer."""

import shutil
from collections import Counter
from contextlib import AsyncExitStack

import pytest

from gatewise.service.model.errors import ModelFolderError
from gatewise.service.serving.batching import Capacity, Scored
from gatewise.service.serving.model_registry import (
    Change,
    InUseError,
    ModelRegistry,
    NotReadyError,
    UnknownModelError,
)
from gatewise.service.serving.model_sources import ModelSource

pytestmark = pytest.mark.anyio


@pytest.fixture
def two(versions):
    """A folder with the versions 1 and 2."""
    shutil.copytree(versions / "1", versions / "2")
    return versions


@pytest.fixture
async def serve():
    """Returns a registry of the model `m` at a path."""
    async with AsyncExitStack() as stack:

        def registry(path):
            models = ModelRegistry([ModelSource("m", path)], Capacity())
            stack.push_async_callback(models.close)
            return models

        yield registry


@pytest.fixture
async def loaded(serve, two):
    """A registry that has loaded the versions 1 and 2."""
    models = serve(two)
    await models.reload("m")
    return models


def damage(folder):
    (folder / "tokenizer.json").write_text("{}")


def change_digest(folder):
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text() + "\n")


async def test_the_newest_version_is_the_default(serve, two):
    models = serve(two)
    assert not models.is_ready
    with pytest.raises(NotReadyError, match="'m' is being loaded"):
        models.find()
    with pytest.raises(UnknownModelError, match="no model 'n': expected one of m"):
        models.find("n")
    assert (await models.reload("m")).loaded == ("1", "2")
    assert models.is_ready
    assert (models.names(), models.versions("m")) == (["m"], ["1", "2"])
    assert models.find().version == models.find("m").version == "2"
    assert models.find("m", "1").version == "1"
    with pytest.raises(UnknownModelError, match="'m' has no version '3': expected one of 1, 2"):
        models.find("m", "3")


async def test_a_model_folder_is_replaced_by_another_at_its_path(serve, versions):
    models = serve(versions / "1")
    models.load("m")
    before = models.find()
    assert (await models.reload("m")).loaded == ()
    change_digest(versions / "1")
    changes = await models.reload("m")
    assert changes.unloaded == (before.version,)
    assert models.find().version == changes.loaded[0] != before.version


async def test_a_version_is_replaced_under_its_name(loaded, two):
    before = loaded.find("m", "2")
    pending = before.ask(["where is it"])
    change_digest(two / "2")
    assert (await loaded.reload("m")).loaded == ("2",)
    assert loaded.find("m", "2") is not before
    assert isinstance(await pending, Scored)


async def test_a_version_that_cannot_be_loaded_changes_nothing(
    loaded, two, model_folder, put, caplog
):
    put(model_folder, two / "3")
    damage(two / "3")
    changes = await loaded.reload("m")
    assert "tokenizer.json" in changes.failed["3"]
    assert loaded.find().version == "2"
    assert (await loaded.reload("m", again=False)).failed == changes.failed
    assert caplog.text.count("cannot be loaded") == 1
    await loaded.reload("m")
    assert caplog.text.count("cannot be loaded") == 2
    # A loaded version goes on answering when its folder is damaged.
    damage(two / "2")
    (two / "2" / "manifest.json").write_text("{}")
    assert "2" in (await loaded.reload("m")).failed
    assert isinstance(await loaded.find("m", "2").ask(["who"]), Scored)
    # Once it is fixed, it is loaded.
    shutil.rmtree(two / "3")
    put(model_folder, two / "3")
    assert (await loaded.reload("m")).loaded == ("3",)
    # A missing folder unloads nothing.
    shutil.rmtree(two)
    with pytest.raises(ModelFolderError):
        await loaded.reload("m")
    assert loaded.versions("m") == ["1", "2", "3"]


async def test_loading_at_the_start_needs_one_good_version(serve, two):
    damage(two / "1")
    models = serve(two)
    models.load("m")
    assert models.versions("m") == ["2"]
    damage(two / "2")
    with pytest.raises(ModelFolderError, match="none of its versions can be loaded"):
        serve(two).load("m")


async def test_requests_follow_the_traffic_shares(loaded):
    loaded.share("m", {"1": 9, "2": 1})
    chosen = Counter(loaded.find().version for _ in range(1000))
    assert chosen["2"] == pytest.approx(100, abs=3)
    few = Counter(loaded.find().version for _ in range(20))
    assert 1 <= few["2"] <= 4
    assert loaded.model("m").traffic == {"1": 0.9, "2": 0.1}
    loaded.share("m", {"1": 1})
    assert {loaded.find().version for _ in range(50)} == {"1"}
    loaded.share("m", None)
    assert loaded.find().version == "2"
    with pytest.raises(UnknownModelError):
        loaded.share("m", {"4": 1})


async def test_an_unloaded_version_stays_unloaded_until_it_is_loaded_again(loaded):
    loaded.share("m", {"2": 1})
    with pytest.raises(InUseError, match="'2' is the only one of 'm' that gets requests"):
        await loaded.change(Change("unload", "m", "2"))
    loaded.share("m", None)
    await loaded.change(Change("unload", "m", "2"))
    assert loaded.find().version == "1"
    assert (await loaded.change(Change("reload", "m"))).loaded == ()
    with pytest.raises(InUseError):
        await loaded.unload("m", "1")
    assert (await loaded.change(Change("load", "m", "2"))).loaded == ("2",)
    await loaded.change(Change("share", "m", shares={"1": 1}))
    assert loaded.find().version == "1"
