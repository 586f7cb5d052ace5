"""docs/python.md: its code runs in its order, and its tables name what is there."""

import csv
import re

import pytest

import gatewise
from gatewise import train_model
from gatewise.model import Model
from gatewise.training.config.config import of_settings, validated

SMALL = {"network": {"units": 4}, "training": {"epochs": 1, "refit": False}}


@pytest.fixture
def quickly(monkeypatch):
    """Networks of a few weights, whatever the page sets."""

    def fast(settings, file=None):
        values = of_settings(settings, file).model_dump(mode="json")
        return validated({name: values[name] | SMALL.get(name, {}) for name in values})

    monkeypatch.setattr(train_model, "of_settings", fast)


def test_the_code_runs(page, tmp_path, monkeypatch, quickly):
    pytest.importorskip("cleanlab")
    words = {"good": ["fine", "great", "happy"], "bad": ["awful", "poor", "sad"]}
    things = ("film", "book", "song", "play", "show")
    rows = [
        (f"a {word} {thing}", label) for label in words for word in words[label] for thing in things
    ]
    with (tmp_path / "reviews.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in re.findall(r"```python\n(.*?)```", page("python"), re.DOTALL):
        # The code is this repository's own documentation.
        exec(compile(block, "docs/python.md", "exec"), names)
    assert names["model"].predict(["a fine film"]) == ["good"]
    assert names["explained"].label == "good"
    added = {"predicted_label", "predicted_score", "predicted_label_2", "predicted_score_2"}
    assert set(names["scored"].columns) == {"text", "label"} | added
    assert names["report"].rows == len(names["found"].rows) == len(rows)
    assert names["suggestion"].text in ("a fine film", "fine weather", "a poor book")
    assert set(names["search"].best_params_) == {"units"}


def test_what_the_tables_name_is_there(page, tables):
    for (
        called,
        *_,
    ) in tables("python", "A model"):
        for name in re.findall(r"`model\.(\w+)", called):
            assert name == "classes_" or hasattr(Model, name), name
    for name in re.findall(r"`gatewise\.(\w+)", page("python")):
        assert hasattr(gatewise, name) or name == "sklearn", name
