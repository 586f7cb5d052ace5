"""`start_from`: training goes on from an earlier model, with new rows, labels and words."""

import csv

import numpy as np
import pytest

import gatewise as package
from gatewise.vocab.errors import GatewiseError


@pytest.fixture(scope="module")
def more(reviews):
    """Other rows: a new label with new words, and none of the label `bad`."""
    words = ("puzzling", "strange", "odd", "unclear")
    strange = [
        (f"{w} {thing} {n}", "strange")
        for w in words
        for thing in ("film", "tune")
        for n in range(6)
    ]
    good = [row for row in zip(*reviews, strict=True) if row[1] == "good"]
    texts, labels = zip(*good, *strange, strict=True)
    return list(texts), list(labels)


@pytest.fixture(scope="module")
def grown(reviewer, more):
    return package.train(*more, start_from=reviewer, epochs=6)


def test_new_labels_and_words_are_learnt_and_the_old_ones_stay(reviewer, grown, reviews, more):
    assert grown.classes_ == ["bad", "good", "strange"]
    old, new = (each.artifact.tokenizer.get_vocab() for each in (reviewer, grown))
    assert old.items() <= new.items()
    assert {"puzzling", "tune"} <= new.keys() - old.keys()
    accuracy = {
        name: np.mean(np.array(grown.predict(texts)) == labels)
        for name, (texts, labels) in {"new": more, "old": reviews}.items()
    }
    assert min(accuracy.values()) > 0.9, accuracy
    config = grown.metrics["config"]
    assert config["network"]["units"] == 4
    assert config["training"]["linear_path"] == "descended"
    assert config["training"]["learning_rate"] == pytest.approx(1e-3)
    # The earlier model is measured on the same rows, of which it lacks a label.
    earlier = grown.metrics["earlier"]["validation"]["accuracy"]
    assert earlier < grown.metrics["validation"]["accuracy"]


def test_the_command_gives_the_same_bytes(gatewise, reviewer, grown, more, tmp_path):
    reviewer.save(tmp_path / "earlier")
    with (tmp_path / "more.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *zip(*more, strict=True)])
    out = tmp_path / "model"
    ended = gatewise(
        *("train", tmp_path / "more.csv", "--from", tmp_path / "earlier", "--out", out),
        *("--set", "training.epochs=6"),
    )
    assert ended.code == 0, ended.stderr
    assert "of the validation rows the earlier model gets" in ended.stderr
    assert package.load(out).contents()["onnx/model.onnx"] == grown.contents()["onnx/model.onnx"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"units": 8}, "setting network.units: expected 4, as .* was trained with, received 8"),
        ({"tokens": {"lowercase": False}}, "setting tokens.lowercase: expected True"),
        ({"linear_path": "solved"}, "a solver would discard the weights"),
    ],
)
def test_settings_that_fit_no_weights_are_refused(reviewer, more, settings, message):
    with pytest.raises(GatewiseError, match=message):
        package.train(*more, start_from=reviewer, **settings)


def test_models_that_no_run_can_start_from_are_refused(reviewer, more, tmp_path):
    texts, labels = more
    with pytest.raises(GatewiseError, match="expected a model with any number of labels a text"):
        package.train(texts, [[label] for label in labels], start_from=reviewer)
    reviewer.save(tmp_path / "model")
    quantized = package.load(tmp_path / "model", precision="int8")
    with pytest.raises(GatewiseError, match="expected a model with its weights in 32-bit floats"):
        package.train(*more, start_from=quantized)
    with pytest.raises(GatewiseError, match="the path does not exist"):
        package.train(*more, start_from=tmp_path / "nothing")
