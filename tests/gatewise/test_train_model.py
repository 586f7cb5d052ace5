"""`gatewise.train`: rows in memory and the command give the same model; a model is a value."""

import csv
import gc
import json
import pickle
from pathlib import Path

import numpy as np
import pytest

import gatewise as package
from gatewise.train_model import prepare
from gatewise.training.data.corpora import read
from gatewise.training.fit.progress import Progress
from gatewise.vocab.corpus.bad_row_policy import StopAtBadRows
from gatewise.vocab.errors import GatewiseError


@pytest.fixture
def corpus(reviews, tmp_path):
    path = tmp_path / "reviews.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *zip(*reviews, strict=True)])
    return path


def assignments(settings):
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from (f"{name}.{key}={json.dumps(inner)}" for key, inner in value.items())
        else:
            yield f"training.{name}={json.dumps(value)}"


def test_the_same_rows_give_the_same_bytes_as_the_command(
    gatewise, corpus, reviewer, fast_settings, tmp_path
):
    options = [part for each in assignments(fast_settings) for part in ("--set", each)]
    code, _, stderr = gatewise("train", corpus, "--out", tmp_path / "model", *options)
    assert code == 0, stderr
    from_command = package.load(tmp_path / "model").contents()
    contents = reviewer.contents()
    assert from_command.keys() == contents.keys()
    for name in contents.keys() - {"metrics.json", "report.html", "manifest.json"}:
        assert from_command[name] == contents[name], name
    metrics, others = (json.loads(each["metrics.json"]) for each in (from_command, contents))
    # Files have names, and latencies are of one run.
    for document in (metrics, others):
        document.pop("latency")
        for mistake in document["review"]["mistakes"]:
            assert mistake.pop("place").startswith(("reviews.csv, line", "training rows, position"))
    assert metrics == others
    manifests = [json.loads(each["manifest.json"]) for each in (from_command, contents)]
    assert manifests[0]["corpus_sha256"] == manifests[1]["corpus_sha256"]


def test_a_model_without_a_folder_of_its_own_has_a_temporary_one(reviews, fast_settings, tmp_path):
    seen = []
    model = package.train(
        *reviews, validation=reviews, progress=seen.append, max_updates=2, **fast_settings
    )
    assert [each.step for each in seen if isinstance(each, Progress)][:2] == [1, 2]
    assert model.trained.run.validation.rows == len(reviews[0])
    folder = model.folder
    assert (folder / "report.html").is_file()
    probabilities = model.predict_proba(reviews[0][:5])
    model.save(tmp_path / "saved")
    restored = pickle.loads(pickle.dumps(model))
    del model
    gc.collect()
    assert not folder.exists()
    for other in (package.load(tmp_path / "saved"), restored, pickle.loads(pickle.dumps(restored))):
        np.testing.assert_array_equal(other.predict_proba(reviews[0][:5]), probabilities)
    assert restored.metrics == package.load(tmp_path / "saved").metrics
    assert restored.contents() == package.load(tmp_path / "saved").contents()
    manifest = tmp_path / "saved" / "manifest.json"
    loaded = package.load(tmp_path / "saved")
    manifest.write_bytes(manifest.read_bytes() + b"\n")
    with pytest.raises(GatewiseError, match="was replaced since the model was loaded"):
        loaded.contents()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": ["good"] * 96}, "expected at least two different labels"),
        ({"texts": [None, *["a"] * 95]}, "position 0: the text is missing"),
        (
            {"validation": (["fine"], ["odd"])},
            "validation rows: no row has a label of the training corpus",
        ),
        ({"epoch": 3}, "unknown setting 'epoch': expected one of epochs, …"),
        ({"epochs": 0}, "setting training.epochs: input should be greater than or equal to 1"),
        ({"network": {"cell": "gruu"}}, "setting network.cell: "),
        ({"network": 3}, "setting network: expected a dict of settings, received 3"),
        ({"network": {"units": 4}, "units": 8}, "setting network.units: expected one value"),
    ],
)
def test_bad_input_leaves_nothing_behind(reviews, tmp_path, change, message):
    texts, labels = reviews
    arguments = {"texts": texts, "labels": labels, "out": tmp_path / "model"} | change
    with pytest.raises(GatewiseError, match=message) as caught:
        package.train(**arguments)
    assert isinstance(caught.value, ValueError)
    assert list(tmp_path.iterdir()) == []


def test_outputs_do_not_overwrite_inputs(corpus):
    with pytest.raises(GatewiseError, match=f"^out {corpus}: it would overwrite or lie in"):
        package.train(corpus, out=corpus)


def test_rejected_rows_are_written_and_numbers_of_numpy_are_settings(
    reviews, fast_settings, tmp_path
):
    texts, labels = reviews
    settings = fast_settings | {"max_updates": np.int64(1), "epochs": np.int64(1)}
    model = package.train(
        [*texts, None], [*labels, "good"], rejects=tmp_path / "rejects.jsonl", **settings
    )
    (line,) = (tmp_path / "rejects.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["line"] == len(texts)
    assert model.trained.run.rows + model.trained.run.validation.rows == len(texts)


def test_probabilities_of_labels_are_learnt(reviews, fast_settings):
    texts, labels = reviews
    shares = [{"good": 0.9, "bad": 0.1} if name == "good" else {"bad": 1.0} for name in labels]
    model = package.train(texts, shares, max_updates=1, **fast_settings)
    assert model.classes_ == ["bad", "good"]
    assert model.metrics["config"]["corpus"]["probability_prefix"] == "probability_"


def test_a_corpus_in_memory_is_checked(reviews):
    texts, labels = reviews
    found = package.check(texts, [*labels[:-1], "Good"])
    assert [each.code for each in found.errors] == ["same-labels"]
    assert found.errors[0].example.place == "training rows, position 95"
    assert not Path("training rows").exists()


NUMBERS = [0.5, 1.0, 2.0] * 10
TRAINING = [f"text {number}" for number in range(30)]


@pytest.mark.parametrize(
    ("texts", "labels", "settings", "task"),
    [
        (TRAINING, NUMBERS, {}, "regression"),
        (TRAINING, NUMBERS, {"label_column": "stars"}, "regression"),
        ({"text": TRAINING, "value": NUMBERS}, None, {}, "regression"),
        (TRAINING, ["good", "bad", "1"] * 10, {}, "single_label"),
        ({"text": TRAINING, "labels": [["good"], ["bad"], []] * 10}, None, {}, "multi_label"),
    ],
)
def test_the_task_is_that_of_the_training_rows(tmp_path, texts, labels, settings, task):
    # Alone, the numbers would be taken for labels.
    others = {
        "regression": [1.0, 2.0],
        "single_label": ["good", "bad"],
        "multi_label": [["bad"], []],
    }[task]
    run_config, corpora = prepare(texts, labels, (["x", "y"], others), None, settings)
    rows = read(corpora, run_config, StopAtBadRows(), tmp_path)
    assert rows.task == task
    if task == "regression":
        assert [row.values for row in rows.validation] == [(1.0,), (2.0,)]


def test_the_task_of_a_file_is_that_of_its_validation_pair(tmp_path):
    train = tmp_path / "train.csv"
    lines = [f"{text},{number}" for text, number in zip(TRAINING, NUMBERS, strict=True)]
    train.write_text("\n".join(["text,value", *lines]) + "\n", encoding="utf-8")
    run_config, corpora = prepare(train, None, (["x", "y"], [1, 2]), None, {})
    rows = read(corpora, run_config, StopAtBadRows(), tmp_path)
    assert [row.values for row in rows.validation] == [(1.0,), (2.0,)]
