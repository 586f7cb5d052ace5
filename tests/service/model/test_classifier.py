import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import onnx
import pytest

import gatewise
from gatewise.service.model.classifier import Classifier
from gatewise.service.model.errors import ModelFolderError
from gatewise.service.model.explanation import explain
from gatewise.service.model.model_documents import PRECISIONS, Manifest
from gatewise.service.model.model_folder import (
    ModelFolder,
    read_model_folder,
    seal_model_folder,
    write_json,
)
from gatewise.training.config import config
from gatewise.training.network.build import build
from gatewise.training.network.shape import Shape
from gatewise.training.onnx_export.keras_to_onnx import operators, to_onnx
from gatewise.training.onnx_export.precision import convert_precision
from gatewise.vocab.errors import EmptyTextError
from gatewise.vocab.tokenizer.encoding import Encoded, Ragged
from gatewise.vocab.tokenizer.tokenizer import CLS_ID

SENTENCES = {
    "de": "Bitte geben Sie eine gültige Adresse ein und versuchen Sie es noch einmal.",
    "en": "Please enter a valid address and try again.",
    "fr": "Veuillez saisir une adresse valide et réessayer.",
    "el": "Παρακαλώ εισάγετε μια έγκυρη διεύθυνση.",
    "ja": "有効なアドレスを入力してください。",
}


@pytest.fixture(scope="module")
def classifier(model_folder):
    return gatewise.load(model_folder)


def test_interface_follows_scikit_learn(classifier):
    texts = list(SENTENCES.values())
    assert classifier.predict(texts) == list(SENTENCES)
    probabilities = classifier.predict_proba(texts)
    assert probabilities.shape == (5, 5)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert classifier.classes_ == sorted(SENTENCES)


def test_texts_are_checked(classifier):
    assert classifier.predict([]) == []
    assert classifier.predict_proba([]).shape == (0, 5)
    with pytest.raises(TypeError, match="wrap it in a list"):
        classifier.predict("a text")
    for empty in ("", "\u200b\x00"):
        with pytest.raises(EmptyTextError, match="text 1 is empty"):
            classifier.predict(["a text", empty])
    # A million characters.
    assert classifier.predict(["Bitte geben Sie eine Adresse ein. " * 30_000]) == ["de"]


def mixed_texts(count, vocabulary):
    generator = np.random.default_rng(5)
    lengths = 1 + np.minimum(200, generator.geometric(0.05, count))
    return [
        Encoded(ids=generator.integers(1, vocabulary, length), truncated=False)
        for length in lengths
    ]


@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn"])
@pytest.mark.parametrize("readout", ["last", "max_mean"])
def test_prediction_does_not_depend_on_the_batch(model_folder, cell, readout, tmp_path):
    """Bit for bit, for every cell, with and without padding, in any batch, and path by path."""
    settings = config.NetworkConfig(cell=cell, readout=readout, layers=2, units=24, buckets=500)
    folder = ModelFolder(shutil.copytree(model_folder, tmp_path / "model"))
    loaded = read_model_folder(folder.path)
    shape = Shape(loaded.config.vocab_size, len(loaded.labels), (1, 2, 3))
    model = build(settings, shape, seed=2)
    generator = np.random.default_rng(3)
    model.set_weights([w + generator.normal(0, 0.2, w.shape) for w in model.get_weights()])
    lowered = to_onnx(model, settings)
    models = {precision: convert_precision(lowered, precision) for precision in PRECISIONS}
    for precision, stored in models.items():
        folder.model_in(precision).write_bytes(stored.SerializeToString())
    described = loaded.config.model_dump(mode="json")
    described["gatewise"]["network"] |= {"ngrams": shape.ngrams, "buckets": shape.buckets}
    write_json(folder.config, described)
    changes = {"operators": operators(*models.values())}
    seal_model_folder(folder, loaded.manifest.model_copy(update=changes))

    texts = mixed_texts(64, loaded.config.vocab_size)
    for precision in PRECISIONS:
        classifier = Classifier.load(folder.path, precision=precision)
        among_others = classifier.probabilities(texts)
        for row, text in enumerate(texts):
            alone = classifier.probabilities([text])[0]
            np.testing.assert_array_equal(alone, among_others[row])
        in_bulk = classifier.probabilities(Ragged.of(texts))
        np.testing.assert_array_equal(in_bulk, among_others)
        assert (classifier._paths is not None) == (precision == "fp32")


@pytest.fixture(scope="module")
def windowed(model_folder):
    """A classifier that reads five windows of eight tokens of a text."""
    loaded = read_model_folder(model_folder)
    settings = loaded.config.gatewise
    tokens = settings.tokens.model_copy(update={"max_length": 8, "windows": 5})
    changed = {"gatewise": settings.model_copy(update={"tokens": tokens})}
    return Classifier(replace(loaded, config=loaded.config.model_copy(update=changed)))


LONG_TEXTS = ["a", "seven77", "eight888", *SENTENCES.values(), "x" * 34, "y" * 35, "z" * 36]


def test_windows_of_a_text_are_classified_and_their_logits_averaged(classifier, windowed):
    """Against the network run by hand on each window of at most seven characters."""
    encoded = windowed.encode(LONG_TEXTS)
    assert [text.truncated for text in encoded[-3:]] == [False, False, True]
    for text, logits in zip(encoded, windowed.logits(encoded), strict=True):
        tokens = text.ids[1:]
        parts = np.array_split(tokens, -(-len(tokens) // 7))
        by_window = classifier.logits([Encoded(np.array([CLS_ID, *part]), False) for part in parts])
        np.testing.assert_allclose(logits, by_window.mean(axis=0), rtol=0, atol=1e-6)


def test_a_text_of_one_window_is_classified_as_without_windows(classifier, windowed):
    texts = LONG_TEXTS[:2]
    expected = classifier.logits(classifier.encode(texts))
    np.testing.assert_array_equal(windowed.logits(windowed.encode(LONG_TEXTS))[:2], expected)


def test_windows_do_not_depend_on_the_batch(windowed):
    """Bit for bit, alone or among others, however the texts are encoded."""
    texts = LONG_TEXTS * 30
    among_others = windowed.logits(windowed.encode(texts))
    together = windowed.logits(windowed.encode_together(texts))
    np.testing.assert_array_equal(among_others, together)
    reverse = windowed.logits(windowed.encode_together(texts[::-1]))[::-1]
    np.testing.assert_array_equal(reverse, together)
    for text, logits in zip(LONG_TEXTS, together[: len(LONG_TEXTS)], strict=True):
        np.testing.assert_array_equal(windowed.logits(windowed.encode([text])), logits[None])


def test_the_tokens_of_all_windows_are_explained(windowed):
    text = SENTENCES["fr"]
    (located,) = windowed.locate([text])
    (found,) = explain(windowed, [located])
    np.testing.assert_array_equal(found.logits[None], windowed.logits(windowed.encode([text])))
    assert found.truncated
    assert len(found.shares) == 35
    assert any(share.share for share in found.shares[28:])


def test_rows_come_back_in_the_order_given(classifier):
    texts = list(SENTENCES.values()) * 60
    assert classifier.predict(texts) == list(SENTENCES) * 60


def test_threads_give_the_same_answers(classifier):
    texts = list(SENTENCES.values())
    expected = classifier.predict_proba(texts)
    with ThreadPoolExecutor(4) as pool:
        for scores in pool.map(lambda _: classifier.predict_proba(texts), range(40)):
            np.testing.assert_array_equal(scores, expected)


def damaged(model_folder, tmp_path, change):
    """A copy of the folder with its network changed and its manifest in agreement."""
    folder = ModelFolder(shutil.copytree(model_folder, tmp_path / "model"))
    proto = onnx.load(folder.model)
    change(proto)
    folder.model.write_bytes(proto.SerializeToString())
    seal_model_folder(folder, Manifest.model_validate_json(folder.manifest.read_bytes()))
    return folder.path


def weights_of(proto, name):
    return next(each for each in proto.graph.initializer if each.name == name)


def set_bias_to_nan(proto):
    bias = weights_of(proto, "classifier.bias")
    bias.CopyFrom(onnx.numpy_helper.from_array(np.full(5, np.nan, np.float32), bias.name))


def shorten_embedding(proto):
    table = weights_of(proto, "embedding.weight")
    rows = onnx.numpy_helper.to_array(table)[:-1]
    table.CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(rows), table.name))


def reduce_logits(axis):
    def change(proto):
        proto.graph.node[-1].output[0] = "x"
        proto.graph.node.append(onnx.helper.make_node("ReduceMax", ["x"], ["logits"], axes=[axis]))
        proto.graph.output[0].type.tensor_type.ClearField("shape")

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (set_bias_to_nan, "logits that are not finite"),
        (shorten_embedding, "the network fails"),
        (reduce_logits(1), "expected logits of shape"),
        (reduce_logits(0), "expected logits of shape"),
    ],
)
def test_network_that_fails_is_refused_on_loading(model_folder, tmp_path, change, reason):
    with pytest.raises(ModelFolderError, match=reason):
        Classifier.load(damaged(model_folder, tmp_path, change))


def test_logits_of_too_few_rows_are_refused_when_predicting(model_folder, tmp_path):
    def change(proto):
        proto.graph.node[-1].output[0] = "x"
        arrays = {"from": [0], "to": [2], "along": [0]}
        for name, value in arrays.items():
            proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array(value), name))
        two = onnx.helper.make_node("Slice", ["x", *arrays], ["logits"])
        proto.graph.node.append(two)

    classifier = Classifier.load(damaged(model_folder, tmp_path, change))
    assert len(classifier.predict(["a", "b"])) == 2
    with pytest.raises(ModelFolderError, match=r"expected logits of shape \(3, 5\) .* \(2, 5\)"):
        classifier.predict(["a", "b", "c"])


@pytest.fixture(scope="module")
def several(multi_label_folder):
    return gatewise.load(multi_label_folder)


class TestSeveralLabels:
    def test_probabilities_are_of_each_label_by_itself(self, several):
        probabilities = several.predict_proba(["blue green", "grey"])
        absent, present = 1 / (1 + np.exp(3)), 1 / (1 + np.exp(-3))
        expected = [[present, present, absent], [absent] * 3]
        np.testing.assert_allclose(probabilities, expected, atol=1e-6)
        assert (several.multi_label, several.task) == (True, "multi_label")

    def test_labels_that_reach_their_thresholds_are_predicted(self, several):
        texts = ["blue reddish", "green", "grey", "green green red blue"]
        assert several.predict(texts) == [
            ("blue", "red"),
            (),
            (),
            ("green", "blue", "red"),
        ]
        assert several.predict([]) == []

    def test_score_function_can_be_chosen(self, several):
        encoded = several.encode(["blue", "red"])
        np.testing.assert_array_equal(several.scores(encoded), several.scores(encoded, "sigmoid"))
        np.testing.assert_allclose(several.scores(encoded, "softmax").sum(axis=1), 1, atol=1e-6)

    def test_threshold_is_one_half_by_default(self, multi_label_folder, tmp_path):
        folder = changed_config(multi_label_folder, tmp_path, {"thresholds": None})
        several = gatewise.load(folder)
        assert several.thresholds == (0.5, 0.5, 0.5)
        assert several.predict(["reddish", "green"]) == [(), ("green",)]

    @pytest.mark.parametrize(
        ("thresholds", "reason"),
        [
            ([0.5, 0.5], "expected 3 numbers in gatewise.thresholds, .* received 2"),
            ([0.5, 0.5, 0.0], r"gatewise\.thresholds\.2: .* greater than 0"),
            ([0.5, 0.5, 1.5], r"gatewise\.thresholds\.2: .* less than or equal to 1"),
            ([0.5, 0.5, float("nan")], r"gatewise\.thresholds\.2: "),
        ],
    )
    def test_invalid_thresholds_are_refused(self, multi_label_folder, tmp_path, thresholds, reason):
        folder = changed_config(multi_label_folder, tmp_path, {"thresholds": thresholds})
        with pytest.raises(ModelFolderError, match=reason):
            Classifier.load(folder)

    def test_single_label_models_have_no_thresholds(self, model_folder, tmp_path):
        folder = changed_config(model_folder, tmp_path / "a", {"thresholds": [0.5] * 5})
        with pytest.raises(ModelFolderError, match="found single_label"):
            Classifier.load(folder)
        # A folder from before there were thresholds lacks the key.
        single = Classifier.load(changed_config(model_folder, tmp_path / "b", {}))
        assert (single.multi_label, single.thresholds) == (False, None)


def changed_config(model_folder, tmp_path, changes):
    """A copy of the folder with other keys under `gatewise`, and its manifest in agreement."""
    folder = ModelFolder(shutil.copytree(model_folder, tmp_path / "model"))
    document = json.loads(folder.config.read_text(encoding="utf-8"))
    document["gatewise"].pop("thresholds", None)
    document["gatewise"].update(changes)
    folder.config.write_text(json.dumps(document), encoding="utf-8")
    seal_model_folder(folder, Manifest.model_validate_json(folder.manifest.read_bytes()))
    return folder.path
