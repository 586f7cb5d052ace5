import shutil
from pathlib import Path

import pytest

from gatewise.service.model.errors import ModelFolderError
from gatewise.service.model.model_folder import read_model_folder
from gatewise.service.serving.model_sources import (
    FoundVersion,
    ModelSource,
    SourceError,
    sources,
    split,
)


def test_a_model_folder_is_one_version_named_by_its_digest(model_folder):
    sha256 = read_model_folder(model_folder).sha256
    assert ModelSource("m", model_folder).versions() == [
        FoundVersion(sha256[:12], model_folder, sha256)
    ]


def test_a_zip_is_one_version(model_folder, tmp_path):
    archive = Path(shutil.make_archive(str(tmp_path / "m"), "zip", model_folder))
    (found,) = ModelSource("m", archive).versions()
    assert found.sha256 == read_model_folder(archive).sha256


def test_a_folder_of_folders_has_a_version_for_each(model_folder, tmp_path):
    for version in ("10", "9", "2-canary", ".half", "notes"):
        (tmp_path / version).mkdir()
    for version in ("10", "9", "2-canary", ".half"):
        shutil.copytree(model_folder, tmp_path / version, dirs_exist_ok=True)
    shutil.make_archive(str(tmp_path / "11"), "zip", model_folder)
    (tmp_path / "12.zip").write_bytes(b"half copied")
    found = ModelSource("m", tmp_path).versions()
    assert [one.version for one in found] == ["2-canary", "9", "10", "11"]
    assert found[1].path == tmp_path / "9"


@pytest.mark.parametrize("place", ["empty", "nothing", "file"])
def test_where_there_is_no_model(tmp_path, place):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("no zip")
    with pytest.raises(ModelFolderError) as refused:
        ModelSource("m", tmp_path / place).versions()
    assert place in str(refused.value)


def test_models_are_called_as_they_are_named_or_as_their_folder(tmp_path):
    (tmp_path / "a=b").mkdir()
    named = sources(["x/spam", "topics=/srv/t", tmp_path / "a=b", "my model.zip"])
    assert [one.name for one in named] == ["spam", "topics", "a-b", "my-model"]
    assert named[1].path == Path("/srv/t")


@pytest.mark.parametrize("named", ["a/b=m", "=m", "ä=m", "-x=m", f"{'x' * 65}=m"])
def test_a_name_must_fit_into_an_address(named):
    with pytest.raises(SourceError, match="cannot name a model: expected at most"):
        sources([named])


def test_two_models_of_one_name():
    with pytest.raises(SourceError, match="two models have the name 'm': name them, as in m-2=b/m"):
        sources(["a/m", "b/m"])


def test_a_variable_names_several(tmp_path, monkeypatch):
    assert split("a:b=c") == ["a", "b=c"]
    (tmp_path / "a:b").mkdir()
    monkeypatch.chdir(tmp_path)
    assert split("a:b") == ["a:b"]
