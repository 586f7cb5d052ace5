"""The cascade: the linear path or the network scores a row, whatever rows are beside it."""

import csv
import json
import shutil

import numpy as np
import pytest

from gatewise.service.model.cascade import linear_probabilities
from gatewise.service.model.classifier import Classifier
from gatewise.service.model.linear_path import LinearPath
from gatewise.service.model.model_documents import CascadeSettings, RejectSettings
from gatewise.service.model.model_folder import (
    ModelFolder,
    read_model_folder,
    seal_model_folder,
    write_json,
)
from gatewise.service.scoring.score_texts import score_texts
from gatewise.vocab.errors import ArgumentError

TEXTS = ["Bitte geben Sie eine gültige Adresse ein.", "1 2", "The file was not found.", "x", "é"]
TEMPERATURE = 0.8


@pytest.fixture(scope="module")
def paths(model_folder):
    """The probabilities of the texts by the linear path and by the network."""
    classifier = Classifier.load(model_folder)
    encoded = classifier.encode_together(TEXTS)
    path = LinearPath.of(classifier.artifact)
    linear = linear_probabilities(path.logits(encoded), TEMPERATURE)
    return linear, classifier.probabilities(encoded)


@pytest.fixture(scope="module")
def threshold(paths):
    """The probability that two of the texts reach: as many decimals as a 64-bit number has."""
    return float(np.sort(paths[0].max(axis=1))[-2])


@pytest.fixture(scope="module")
def folder_with(model_folder, tmp_path_factory):
    """Copies the model folder with other settings."""

    def folder(**settings):
        copy = ModelFolder(tmp_path_factory.mktemp("cascade") / "model")
        shutil.copytree(model_folder, copy.path)
        loaded = read_model_folder(copy.path)
        gatewise = loaded.config.gatewise.model_copy(update=settings)
        config = loaded.config.model_copy(update={"gatewise": gatewise})
        write_json(copy.config, config.model_dump(mode="json"))
        seal_model_folder(copy, loaded.manifest)
        return copy.path

    return folder


@pytest.fixture(scope="module")
def folder(folder_with, threshold):
    return folder_with(cascade=CascadeSettings(threshold=threshold, temperature=TEMPERATURE))


def test_sure_rows_are_the_linear_path_s_and_others_the_network_s(folder, paths, threshold):
    cascade = Classifier.load(folder).cascade
    classifier = Classifier.load(folder)
    encoded = classifier.encode_together(TEXTS)
    linear, network = paths
    sure = linear.max(axis=1) >= np.float32(threshold)
    assert sure.sum() == 2
    expected = np.where(sure[:, None], linear, network)
    np.testing.assert_array_equal(cascade.probabilities(encoded), expected)
    each = [cascade.probabilities(classifier.encode_together([text]))[0] for text in TEXTS]
    np.testing.assert_array_equal(each, expected)
    assert cascade.probabilities(classifier.encode_together([])).shape == (0, network.shape[1])


def test_it_scores_files_and_texts(gatewise, folder, paths, threshold, tmp_path):
    linear, network = paths
    expected = np.where(linear.max(axis=1, keepdims=True) >= np.float32(threshold), linear, network)
    source, out = tmp_path / "in.csv", tmp_path / "out.csv"
    with source.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["text"], *([text] for text in TEXTS)])
    ended = gatewise("score", folder, source, "--out", out, "--cascade")
    assert ended.code == 0, ended.stderr
    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    scores = expected.max(axis=1)
    assert [np.float32(row["score"]) for row in rows] == scores.tolist()
    columns = score_texts([*TEXTS, ""], folder, cascade=True)
    assert list(map(np.float32, columns["predicted_score"][:-1])) == scores.tolist()
    assert columns["predicted_score"][-1] is None


def test_a_model_without_one_refuses_it(
    gatewise, model_folder, multi_label_folder, folder, tmp_path
):
    source, out = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("text\na\n")
    for model, options, reason in (
        (multi_label_folder, (), "exactly one label"),
        (folder, ("--precision", "int8"), "chosen for the network in fp32, not in int8"),
    ):
        ended = gatewise("score", model, source, "--out", out, "--cascade", *options)
        assert ended.code == 1
        (line,) = ended.stderr.splitlines()
        assert "--cascade: " in line
        assert reason in line
    assert not out.exists()


def test_a_folder_without_one_says_what_to_do(folder_with):
    with pytest.raises(ArgumentError, match="train it with 1,000 of them or more"):
        _ = Classifier.load(folder_with(cascade=None)).cascade
    network = read_model_folder(folder_with()).config.gatewise.network
    without = folder_with(
        cascade=CascadeSettings(threshold=0.9, temperature=1),
        network=network.model_copy(update={"ngrams": ()}),
    )
    with pytest.raises(ArgumentError, match="the network has no linear path"):
        _ = Classifier.load(without).cascade


def test_only_a_folder_with_one_has_the_key(folder, folder_with):
    def keys(path):
        return json.loads((path / "config.json").read_text(encoding="utf-8"))["gatewise"].keys()

    assert "cascade" in keys(folder)
    reject = RejectSettings(threshold=0.5, label="none")
    assert "cascade" not in keys(folder_with(cascade=None, reject=reject))
