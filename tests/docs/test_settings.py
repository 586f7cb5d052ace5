"""docs/settings.md has every setting, as it is."""

import re
import tomllib

import pytest

from gatewise.training.config import config
from gatewise.training.config.config import Config
from gatewise.training.teacher.teaching import check_settings


def test_every_setting_is_there_as_it_is(generated):
    assert generated("settings", "settings") == {f"settings {name}" for name in Config.model_fields}


def test_every_setting_has_a_meaning():
    for section, field in Config.model_fields.items():
        for name, setting in field.annotation.model_fields.items():
            assert setting.description, f"{section}.{name} has no description"


def test_a_default_is_written_as_it_is_set(page):
    row = r"^\| `(\w+\.\w+)` \| .*? \| (not set|`.*?`) \|"
    rows = re.findall(row, page("settings"), re.MULTILINE)
    assert len(rows) == sum(len(f.annotation.model_fields) for f in Config.model_fields.values())
    given = [f"{name}={default[1:-1]}" for name, default in rows if default != "not set"]
    assert config.load(assignments=given) == Config()
    for name in (name for name, default in rows if default == "not set"):
        section, _, setting = name.partition(".")
        assert getattr(getattr(Config(), section), setting) is None


@pytest.mark.parametrize("name", ["settings", "training", "teacher"])
def test_both_limits_of_a_solved_path_are_stated(page, name):
    """That of texts of any length, and those of short texts with probabilities."""
    limits = r"5,000 \w+ of any length.{,400}256 characters.{,200}50,000 \w+ and 300,000"
    assert re.search(limits, " ".join(page(name).split()))


def test_what_excludes_a_teacher_is_stated(page):
    (refused,) = re.findall(r"^Refused with a teacher are (.*?)\n\n", page("teacher"), re.M | re.S)
    settings = ["training.refit=true", "corpus.probability_prefix=p_", "corpus.weight_column=w"]
    for setting in settings:
        with pytest.raises(config.ConfigError, match="teacher: not with"):
            check_settings(config.load(assignments=[setting]).taught_by(["folder"]))
        assert f"`{setting.removesuffix('=p_').removesuffix('=w')}`" in refused


@pytest.mark.parametrize("setting", ["network.ngrams=auto", "network.ngrams=[]"])
def test_the_documented_choices_are_accepted(setting):
    config.load(assignments=[setting])


def test_the_file_shown_is_a_file_of_settings(page, tmp_path):
    (shown,) = re.findall(r"```toml\n(.*?)```", page("settings"), re.DOTALL)
    file = tmp_path / "settings.toml"
    file.write_text(shown, encoding="utf-8")
    loaded = config.load(file)
    given = tomllib.loads(shown)
    assert loaded.network.units == given["network"]["units"]
    # What comes later wins, as the page says.
    assert config.load(file, ["network.units=7", "network.units=8"]).network.units == 8
    column = config.load(file, ["corpus.text_column=a"], {"text_column": "b"}).corpus.text_column
    assert column == "b"


def test_the_message_shown_is_the_message(page):
    with pytest.raises(config.ConfigError) as caught:
        config.load(assignments=["network.cell=gruu"])
    assert f"`{caught.value}`" in page("settings")
