"""docs/model-folder.md: its tables are the folder's contents, its example is the classifier."""

import json
import re
import shutil

import numpy as np
import onnxruntime
import pytest
from pydantic import BaseModel

import gatewise
from gatewise.service.model.errors import ModelFolderError
from gatewise.service.model.model_documents import Manifest, ModelConfig


def keys(model, prefix=""):
    """The keys of a JSON document, those of inner objects with dots."""
    found = []
    for name, field in model.model_fields.items():
        found.append(prefix + name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            inner = keys(field.annotation, f"{prefix}{name}.")
            # An object that holds nothing but objects and values of its own needs no row itself.
            found = found[:-1] + inner if prefix else found + inner
    return found


def first_cells(rows):
    return [row[0].strip("`") for row in rows]


def test_every_file_is_documented(tables, model_folder, forward_model_folder):
    names = []
    for folder in (model_folder, forward_model_folder):
        files = [path for path in folder.rglob("*") if path.is_file()]
        names.append({path.relative_to(folder).as_posix() for path in files})
    assert sorted(first_cells(tables("model-folder", "Files"))) == sorted(names[1])
    assert names[1] - names[0] == {"onnx/step.onnx"}


def test_every_key_of_the_config_is_documented(tables, model_folder):
    documented = first_cells(tables("model-folder", "config.json"))
    assert documented == keys(ModelConfig)
    written = json.loads((model_folder / "config.json").read_text(encoding="utf-8"))
    assert set(written) == {key for key in documented if "." not in key}


def test_every_key_of_the_manifest_is_documented(tables):
    assert first_cells(tables("model-folder", "manifest.json")) == keys(Manifest)


def test_every_key_of_the_metrics_is_documented(tables, model_folder):
    rows = tables("model-folder", "report.html and metrics.json")
    documented = [key for row in rows for key in re.findall(r"`(\w+)`", row[0])]
    written = json.loads((model_folder / "metrics.json").read_text(encoding="utf-8"))
    assert sorted(documented) == sorted(written)


def test_the_inputs_and_the_output_are_those(tables, model_folder):
    session = gatewise.load(model_folder)._session
    documented = {
        row[0].strip("`"): row[1]
        for row in tables("model-folder", "The network's inputs and output")
    }
    tensors = [*session.get_inputs(), *session.get_outputs()]
    kinds = {"tensor(int64)": "int64", "tensor(float)": "float32"}
    assert documented == {tensor.name: kinds[tensor.type] for tensor in tensors}


def test_the_inputs_and_outputs_of_the_step_network_are_those(tables, forward_model_folder):
    file = forward_model_folder / "onnx" / "step.onnx"
    session = onnxruntime.InferenceSession(file)
    ends, states = _tables(tables)
    assert ends == ["input_ids", "state.…", "logits", "next.…"]
    named = re.findall(r"`(\w+)`", " ".join(states))
    for values, prefix in (
        (session.get_inputs()[1:], "state."),
        (session.get_outputs()[1:], "next."),
    ):
        assert {value.name for value in values} == {prefix + name for name in named}


def _tables(tables):
    rows = tables("model-folder", "One token at a time")
    cells = first_cells(rows)
    place = cells.index("next.…") + 1
    return cells[:place], [row[0] for row in rows[place:] if row[0] != "state"]


@pytest.fixture
def run_example(page, tmp_path, monkeypatch):
    """Runs an example of the page beside a model folder; returns its names."""

    def run(number, folder):
        example = re.findall(r"```python\n(.*?)```", page("model-folder"), re.DOTALL)[number]
        assert "gatewise" not in example
        (tmp_path / "model").symlink_to(folder)
        monkeypatch.chdir(tmp_path)
        names = {}
        exec(example, names)
        return names, gatewise.load("model")

    return run


def test_example_of_one_token_at_a_time_gives_the_logits(run_example, forward_model_folder):
    names, classifier = run_example(0, forward_model_folder)
    expected = classifier.logits(classifier.encode(["Wo ist der Bahnhof?"]))
    np.testing.assert_allclose(names["logits"], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("folder", "texts"),
    [
        # Of every length, one of them longer than the model reads; and a script of its own.
        (
            "model_folder",
            ["Hello", "Ça va ?", "Wo ist der Bahnhof? " * 20, "最寄りの駅はどこですか", "Καλημέρα"],
        ),
        ("multi_label_folder", ["blue reddish", "grey", "red " * 20]),
    ],
)
def test_example_gives_the_scores_of_the_classifier(run_example, request, folder, texts):
    names, classifier = run_example(1, request.getfixturevalue(folder))
    expected = classifier.predict_proba(texts)
    np.testing.assert_allclose(names["probabilities"](texts), expected, atol=1e-6)
    assert names["labels"] == classifier.classes_


def damage(what, model):
    tokenizer, config = model / "tokenizer.json", model / "config.json"
    network = model / "onnx" / "model.onnx"
    {
        "the path does not exist": lambda: shutil.rmtree(model),
        "`manifest.json` is missing": (model / "manifest.json").unlink,
        "a listed file is missing": tokenizer.unlink,
        "a file was truncated": lambda: network.write_bytes(network.read_bytes()[:-1]),
        "a byte was changed": lambda: config.write_bytes(b" " + config.read_bytes()[1:]),
    }[what]()


def test_damage_is_reported_as_shown(tables, model_folder, tmp_path, monkeypatch):
    rows = tables("model-folder", "How it is verified")
    assert len(rows) == 5
    for number, (what, message) in enumerate(rows):
        folder = tmp_path / str(number)
        shutil.copytree(model_folder, folder / "model")
        monkeypatch.chdir(folder)
        damage(what, folder / "model")
        with pytest.raises(ModelFolderError) as caught:
            gatewise.load("model")
        pattern = ".+".join(re.escape(part) for part in message.strip("`").split("…"))
        assert re.fullmatch(pattern, str(caught.value)), str(caught.value)
