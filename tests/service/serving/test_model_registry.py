"""The registry: versions are loaded, replaced, weighted and unloaded while they answer."""

import asyncio
import shutil
from collections import Counter

import pytest

from gatewise.service.model.errors import ModelFolderError
from gatewise.service.serving.batching import Capacity, Scored
from gatewise.service.serving.model_registry import ModelRegistry
from gatewise.service.serving.model_sources import ModelSource
from gatewise.service.serving.model_versions import (
    Change,
    InUseError,
    NotReadyError,
    UnknownModelError,
)


def run(path, act):
    """Runs a coroutine function with the registry of the model `m` at a path."""

    async def serve_and_act():
        models = ModelRegistry([ModelSource("m", path)], Capacity())
        try:
            await act(models)
        finally:
            await models.close()

    asyncio.run(serve_and_act())


@pytest.fixture
def two(versions):
    """A folder with the versions 1 and 2."""
    shutil.copytree(versions / "1", versions / "2")
    return versions


def damage(folder):
    (folder / "tokenizer.json").write_text("{}")


def change_digest(folder):
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text() + "\n")


def test_the_newest_version_is_the_default(two):
    async def act(models):
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

    run(two, act)


def test_a_model_folder_is_replaced_by_another_at_its_path(versions):
    async def act(models):
        models.load("m")
        before = models.find()
        assert (await models.reload("m")).loaded == ()
        change_digest(versions / "1")
        changes = await models.reload("m")
        assert changes.unloaded == (before.version,)
        assert models.find().version == changes.loaded[0] != before.version

    run(versions / "1", act)


def test_a_version_is_replaced_under_its_name(two):
    async def act(models):
        await models.reload("m")
        before = models.find("m", "2")
        asked = before.ask(["where is it"])
        change_digest(two / "2")
        assert (await models.reload("m")).loaded == ("2",)
        assert models.find("m", "2") is not before
        assert isinstance(await asked, Scored)

    run(two, act)


def test_a_version_that_cannot_be_loaded_changes_nothing(two, model_folder, put, caplog):
    async def act(models):
        await models.reload("m")
        put(model_folder, two / "3")
        damage(two / "3")
        changes = await models.reload("m")
        assert "tokenizer.json" in changes.failed["3"]
        assert models.find().version == "2"
        assert (await models.reload("m", again=False)).failed == changes.failed
        assert caplog.text.count("cannot be loaded") == 1
        await models.reload("m")
        assert caplog.text.count("cannot be loaded") == 2
        # A loaded version goes on answering when its folder is damaged.
        damage(two / "2")
        (two / "2" / "manifest.json").write_text("{}")
        assert "2" in (await models.reload("m")).failed
        assert isinstance(await models.find("m", "2").ask(["who"]), Scored)
        # Once it is fixed, it is loaded.
        shutil.rmtree(two / "3")
        put(model_folder, two / "3")
        assert (await models.reload("m")).loaded == ("3",)
        # A missing folder unloads nothing.
        shutil.rmtree(two)
        with pytest.raises(ModelFolderError):
            await models.reload("m")
        assert models.versions("m") == ["1", "2", "3"]

    run(two, act)


def test_loading_at_the_start_needs_one_good_version(two):
    async def act(models):
        damage(two / "1")
        models.load("m")
        assert models.versions("m") == ["2"]

    run(two, act)
    damage(two / "2")

    async def none(models):
        with pytest.raises(ModelFolderError, match="none of its versions can be loaded"):
            models.load("m")

    run(two, none)


def test_requests_follow_the_traffic_shares(two):
    async def act(models):
        await models.reload("m")
        models.share("m", {"1": 9, "2": 1})
        chosen = Counter(models.find().version for _ in range(1000))
        assert chosen["2"] == pytest.approx(100, abs=3)
        few = Counter(models.find().version for _ in range(20))
        assert 1 <= few["2"] <= 4
        assert models.model("m").traffic == {"1": 0.9, "2": 0.1}
        models.share("m", {"1": 1})
        assert {models.find().version for _ in range(50)} == {"1"}
        models.share("m", None)
        assert models.find().version == "2"
        with pytest.raises(UnknownModelError):
            models.share("m", {"4": 1})

    run(two, act)


def test_an_unloaded_version_stays_unloaded_until_it_is_loaded_again(two):
    async def act(models):
        await models.reload("m")
        models.share("m", {"2": 1})
        with pytest.raises(InUseError, match="'2' is the only one of 'm' that gets requests"):
            await models.change(Change("unload", "m", "2"))
        models.share("m", None)
        await models.change(Change("unload", "m", "2"))
        assert models.find().version == "1"
        assert (await models.change(Change("reload", "m"))).loaded == ()
        with pytest.raises(InUseError):
            await models.unload("m", "1")
        assert (await models.change(Change("load", "m", "2"))).loaded == ("2",)
        await models.change(Change("share", "m", shares={"1": 1}))
        assert models.find().version == "1"

    run(two, act)
