"""The registry: versions are loaded, replaced, weighted and unloaded while they answer."""

import asyncio
import shutil
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from gatewise.service.model.classifier import Classifier
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

Act = Callable[[ModelRegistry], Awaitable[None]]


def run(path: Path, act: Act) -> None:
    async def serve_and_act() -> None:
        models = ModelRegistry([ModelSource("m", path)], Capacity())
        try:
            await act(models)
        finally:
            await models.close()

    asyncio.run(serve_and_act())


@pytest.fixture
def versions(model_folder: Path, tmp_path: Path) -> Path:
    """A folder with the versions 1 and 2."""
    for version in ("1", "2"):
        shutil.copytree(model_folder, tmp_path / "m" / version)
    return tmp_path / "m"


def damage(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{}")


def put(model_folder: Path, folder: Path) -> None:
    """Copies a model folder as `gatewise train` writes one: it appears complete."""
    shutil.copytree(model_folder, folder.with_name(".half"))
    folder.with_name(".half").rename(folder)


def test_no_version_is_ready_before_loading(versions: Path) -> None:
    async def act(models: ModelRegistry) -> None:
        assert not models.is_ready
        with pytest.raises(NotReadyError, match="'m' is being loaded"):
            models.find()
        with pytest.raises(UnknownModelError, match="no model 'n': expected one of m"):
            models.find("n")

    run(versions, act)


def test_the_newest_version_is_the_default(versions: Path) -> None:
    async def act(models: ModelRegistry) -> None:
        changes = await models.reload("m")
        assert changes.loaded == ("1", "2")
        assert (models.names(), models.versions("m")) == (["m"], ["1", "2"])
        assert models.find().version == models.find("m").version == "2"
        assert models.find("m", "1").version == "1"
        with pytest.raises(UnknownModelError, match="'m' has no version '3': expected one of 1, 2"):
            models.find("m", "3")

    run(versions, act)


def test_a_new_version_takes_over_without_a_lost_request(
    versions: Path, model_folder: Path
) -> None:
    async def act(models: ModelRegistry) -> None:
        await models.reload("m")
        answered: Counter[str] = Counter()

        async def keep_asking() -> None:
            while not stop.is_set():
                served = models.find()
                scored = await served.ask(["where is it"])
                assert isinstance(scored, Scored)
                answered[served.version] += 1

        stop = asyncio.Event()
        asking = [asyncio.create_task(keep_asking()) for _ in range(8)]
        for number in range(3, 8):
            put(model_folder, versions / str(number))
            shutil.rmtree(versions / str(number - 2))
            changes = await models.reload("m")
            assert changes.loaded == (str(number),)
            assert changes.unloaded == (str(number - 2),)
        await asyncio.sleep(0.05)
        stop.set()
        await asyncio.gather(*asking)
        assert models.versions("m") == ["6", "7"]
        assert answered["7"] > 0

    run(versions, act)


def test_a_model_folder_is_replaced_by_another_at_its_path(
    model_folder: Path, tmp_path: Path
) -> None:
    place = tmp_path / "m"
    put(model_folder, place)

    async def act(models: ModelRegistry) -> None:
        models.load("m")
        before = models.find()
        assert (await models.reload("m")).loaded == ()
        manifest = place / "manifest.json"
        manifest.write_text(manifest.read_text() + "\n")  # the same model, of another digest
        changes = await models.reload("m")
        assert changes.unloaded == (before.version,)
        assert models.find().version == changes.loaded[0] != before.version

    run(place, act)


def test_a_version_is_replaced_under_its_name(versions: Path) -> None:
    async def act(models: ModelRegistry) -> None:
        await models.reload("m")
        before = models.find("m", "2")
        asked = before.ask(["where is it"])
        manifest = versions / "2" / "manifest.json"
        manifest.write_text(manifest.read_text() + "\n")
        assert (await models.reload("m")).loaded == ("2",)
        assert models.find("m", "2") is not before
        assert isinstance(await asked, Scored)

    run(versions, act)


def test_a_version_that_cannot_be_loaded_changes_nothing(
    versions: Path, model_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def act(models: ModelRegistry) -> None:
        await models.reload("m")
        put(model_folder, versions / "3")
        damage(versions / "3")
        changes = await models.reload("m")
        assert "tokenizer.json" in changes.failed["3"]
        assert models.find().version == "2"
        assert (await models.reload("m", again=False)).failed == changes.failed
        assert caplog.text.count("cannot be loaded") == 1
        await models.reload("m")
        assert caplog.text.count("cannot be loaded") == 2
        # A loaded version goes on answering when its folder is damaged.
        damage(versions / "2")
        (versions / "2" / "manifest.json").write_text("{}")
        assert "2" in (await models.reload("m")).failed
        assert isinstance(await models.find("m", "2").ask(["who"]), Scored)
        # Once it is fixed, it is loaded.
        shutil.rmtree(versions / "3")
        put(model_folder, versions / "3")
        assert (await models.reload("m")).loaded == ("3",)

    run(versions, act)


def test_a_missing_folder_unloads_nothing(versions: Path) -> None:
    async def act(models: ModelRegistry) -> None:
        await models.reload("m")
        shutil.rmtree(versions)
        with pytest.raises(ModelFolderError):
            await models.reload("m")
        assert models.versions("m") == ["1", "2"]

    run(versions, act)


def test_loading_at_the_start_needs_one_good_version(versions: Path) -> None:
    async def act(models: ModelRegistry) -> None:
        damage(versions / "1")
        models.load("m")
        assert models.versions("m") == ["2"]

    run(versions, act)
    damage(versions / "2")

    async def none(models: ModelRegistry) -> None:
        with pytest.raises(ModelFolderError, match="none of its versions can be loaded"):
            models.load("m")

    run(versions, none)


def test_requests_follow_the_traffic_shares(versions: Path) -> None:
    async def act(models: ModelRegistry) -> None:
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

    run(versions, act)


def test_an_unloaded_version_stays_unloaded_until_it_is_loaded_again(versions: Path) -> None:
    async def act(models: ModelRegistry) -> None:
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

    run(versions, act)


def test_a_classifier_that_is_loaded_already(classifier: Classifier, model_folder: Path) -> None:
    async def act(models: ModelRegistry) -> None:
        models.add("m", "1", classifier)
        assert models.is_ready
        assert isinstance(await models.find("m", "1").ask(["who"]), Scored)

    run(model_folder, act)
