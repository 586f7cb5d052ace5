"""The cascade: the linear path or the network scores a row, whatever rows are beside it."""

import csv
import gc
import json
import weakref

import numpy as np
import pytest

from gatewise.service.model.classifier import Classifier
from gatewise.service.model.model_documents import CascadeSettings, RejectSettings
from gatewise.service.model.model_folder import read_model_folder
from gatewise.service.scoring.score_texts import score_texts
from gatewise.vocab.errors import ArgumentError


def test_sure_rows_are_the_linear_path_s_and_others_the_network_s(cascading):
    folder, texts, expected, sure = cascading
    classifier = Classifier.load(folder)
    cascade = classifier.cascade
    encoded = classifier.encode_together(texts)
    np.testing.assert_array_equal(cascade.probabilities(encoded), expected)
    assert cascade.padded_logits(encoded).linear == sure
    each = [cascade.probabilities(classifier.encode_together([text]))[0] for text in texts]
    np.testing.assert_array_equal(each, expected)
    assert cascade.probabilities(classifier.encode_together([])).shape == (0, expected.shape[1])


def test_a_model_with_one_is_freed_without_looking_for_garbage(cascading):
    # The service never looks through what exists at its start, to which a reload puts an end.
    classifier = Classifier.load(cascading.folder)
    cascade = classifier.cascade
    cascade.probabilities(classifier.encode_together(cascading.texts))
    freed = weakref.ref(classifier)
    gc.collect()
    gc.disable()
    try:
        del classifier, cascade
        assert freed() is None
    finally:
        gc.enable()


def test_it_scores_files_and_texts(gatewise, cascading, tmp_path):
    folder, texts, expected, _ = cascading
    source, out = tmp_path / "in.csv", tmp_path / "out.csv"
    with source.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["text"], *([text] for text in texts)])
    ended = gatewise("score", folder, source, "--out", out, "--cascade")
    assert ended.code == 0, ended.stderr
    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    scores = expected.max(axis=1)
    assert [np.float32(row["score"]) for row in rows] == scores.tolist()
    columns = score_texts([*texts, ""], folder, cascade=True)
    assert list(map(np.float32, columns["predicted_score"][:-1])) == scores.tolist()
    assert columns["predicted_score"][-1] is None


def test_a_model_without_one_refuses_it(gatewise, multi_label_folder, cascading, tmp_path):
    source, out = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("text\na\n")
    for model, options, reason in (
        (multi_label_folder, (), "exactly one label"),
        (cascading.folder, ("--precision", "int8"), "chosen for the network in fp32, not in int8"),
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


def test_only_a_folder_with_one_has_the_key(cascading, folder_with):
    def keys(path):
        return json.loads((path / "config.json").read_text(encoding="utf-8"))["gatewise"].keys()

    assert "cascade" in keys(cascading.folder)
    reject = RejectSettings(threshold=0.5, label="none")
    assert "cascade" not in keys(folder_with(cascade=None, reject=reject))
