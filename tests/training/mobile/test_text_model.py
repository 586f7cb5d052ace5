"""The text model answers like the classifier: first the ids, then scores and labels."""

import functools
import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from tokenizers import Tokenizer

from benchmarks.lib.javascript import NODE_MODULES, missing_in_node
from gatewise.service.model.classifier import Classifier
from gatewise.service.model.model_documents import RejectSettings
from gatewise.service.model.model_folder import read_model_folder
from gatewise.training.mobile.text_model import with_tokenizer
from gatewise.training.mobile.tokenizer_tables import TokenizerTablesError
from gatewise.vocab.corpus.bad_row_policy import StopAtBadRows
from gatewise.vocab.corpus.corpus_reader import read_rows
from gatewise.vocab.tokenizer import character_classes
from gatewise.vocab.tokenizer.encoding import Encoder, pad
from gatewise.vocab.tokenizer.tokenizer import train_tokenizer

FAMILY = "👨\u200d👩\u200d👧\u200d👦"
LONG = 100_000
EDGE_CASES = [
    "",
    " ",
    "\t\n \u3000",
    "\u200b\u200d\ufeff",
    f"{FAMILY} 👍🏽 🇩🇪 ❤️ 1️⃣",
    "שלום עולם, \u202bمرحبا\u202c بالعالم ١٢٣",
    "e\u0301 é E\u0301 É ñ n\u0303",
    "ＦＵＬＬ　ｗｉｄｔｈ",
    "zero\u200bwidth\u00adhyphen",
    "\x00NUL\x00 \x01\x1f\x7f\x9f",
    "สวัสดีชาวโลก น้ำ",
    "猫が好きです。𠮷野家で食べる",
    "한국어 텍스트 \u1112\u1161\u11ab",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𐐀𐐨 🜁",
    "İstanbul İİ I\u0307 ı",
    "Straße STRASSE ẞß",
    "ΟΔΥΣΣΕΥΣ Σ ΣΑΣ ὈΔΥΣΣΕΎΣ οδός",
    "ǅ Ǆ ǆ Ⅷ ⅷ Ⓐ ⓐ ﬁ",
    "a\u2028b\u2029c\x85d\xa0e\x0bf\x0cg",
    "  both   ends \r\n ",
    "don't stop, 3.5€! ### ## a##b",
    "[PAD] [UNK] [CLS]",
    "x[CLS]y  [PAD]  [PAD]z [cls] [[UNK]] [P\u200dAD] [PAD",
    "\ufffd a\ufffdb \ue000c",
    "a\u200db A\u200dB \u200dc d\u200d",
    "\u0301 \u0345 ͅ",
    "w" * 100,
    "W" * 100,
    "W" * 101,
    "aA" * 60,
    "\u200da" * 90,
    "the cat " * 40,
    "THE CAT " * 40,
]
KEPT = [("head", 512), ("head", 5), ("tail", 6), ("both", 8)]
# The settings of a tokenizer for every kind of token.
UNITS = {
    "word": {"unit": "word"},
    "pieces": {"unit": "word", "pieces": 75},
    "character": {"unit": "character"},
    "ngram": {"unit": "ngram"},
}
units = pytest.mark.parametrize("unit", [unit for unit in UNITS if unit != "ngram"])
kinds = pytest.mark.parametrize(
    ("unit", "lowercase"),
    [
        *(("word", True), ("word", False), ("pieces", True), ("pieces", False)),
        ("character", True),
    ],
)

ODD = st.sampled_from(
    [
        *("[PAD]", "[UNK]", "[CLS]", "[", "]", "PAD]", "##", FAMILY, "İ", "Σ", "ς", "ß", "ẞ", "Ⅷ"),
        *("\u200d", "\ufe0f", "\u0301", "\u0307", "\x00", "\x85", "\u2028", "\u3000", " ", "\n"),
        *("the", "THE", "Cat", "猫", "น้ำ", "한", "é", "É", "\U0001f600", "\U00020bb7"),
    ]
)
TEXTS = st.lists(st.one_of(ODD, st.text(max_size=4)), max_size=12).map("".join)


def run(session, texts, outputs=None):
    return session.run(outputs, {"text": np.array(list(texts), dtype=object)})


def tokenizer_graph(loaded):
    """The nodes of a text model before its network: texts in, ids and mask out."""
    model = with_tokenizer(loaded)
    names = ["input_ids", "attention_mask"]
    ends = [f"network/{name}" for name in names]
    nodes = list(model.graph.node)
    last = next(index for index, node in enumerate(nodes) if node.output[0] == ends[1])
    weights = [each for each in model.graph.initializer if not each.name.startswith("network/")]
    used = {name for node in nodes[: last + 1] for name in node.input}
    graph = helper.make_graph(
        nodes[: last + 1],
        "tokenizer",
        model.graph.input,
        [helper.make_tensor_value_info(end, TensorProto.INT64, ("batch", "n")) for end in ends],
        [each for each in weights if each.name in used],
    )
    return helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)


def with_other_tokenizer(loaded, tokenizer, unit, max_length=512, keep="head"):
    """A model folder with another tokenizer; its network does not fit."""
    tokens = loaded.config.gatewise.tokens.model_copy(
        update={"unit": UNITS[unit]["unit"], "max_length": max_length, "keep": keep}
    )
    gatewise = loaded.config.gatewise.model_copy(update={"tokens": tokens})
    config = loaded.config.model_copy(update={"gatewise": gatewise})
    return replace(loaded, dictionary=tokenizer, config=config)


@pytest.fixture(scope="module")
def graphs(multi_label_folder, onnx_session):
    """From a tokenizer's settings to a session and the encoder that it must agree with."""
    loaded = read_model_folder(multi_label_folder)

    @functools.cache
    def made(unit, lowercase, keep="head", max_length=512):
        tokenizer = train_tokenizer(EDGE_CASES, lowercase=lowercase, vocab_size=150, **UNITS[unit])
        changed = with_other_tokenizer(loaded, tokenizer, unit, max_length, keep)
        return onnx_session(tokenizer_graph(changed)), Encoder(tokenizer, max_length, keep)

    return made


def assert_same_ids(session, encoder, texts):
    expected = pad([text.ids for text in encoder.encode(texts)])
    ids, mask = run(session, texts)
    if ids.shape != expected.inputs.shape or (ids != expected.inputs).any():
        for text in texts:  # names the text in the error
            alone = run(session, [text])[0][0].tolist()
            assert alone == encoder.encode([text])[0].ids.tolist(), ascii(text)
    np.testing.assert_array_equal(ids, expected.inputs)
    np.testing.assert_array_equal(mask, expected.attention_mask)
    assert (ids.dtype, mask.dtype) == (np.int64, np.int64)


@pytest.mark.sampled(5)
@kinds
@pytest.mark.parametrize(("keep", "max_length"), KEPT)
def test_edge_cases_have_the_same_ids(graphs, unit, lowercase, keep, max_length):
    session, encoder = graphs(unit, lowercase, keep, max_length)
    assert_same_ids(session, encoder, EDGE_CASES)
    for text in EDGE_CASES:
        assert_same_ids(session, encoder, [text])


@kinds
@settings(max_examples=100)
@given(texts=st.lists(TEXTS, min_size=1, max_size=12), kept=st.sampled_from(KEPT))
def test_any_texts_have_the_same_ids(graphs, unit, lowercase, texts, kept):
    assert_same_ids(*graphs(unit, lowercase, *kept), texts)


@pytest.mark.exhaustive
@kinds
def test_every_character_has_the_same_ids(graphs, unit, lowercase, capfd):
    session, encoder = graphs(unit, lowercase, "head", LONG)
    every = [chr(code) for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF]
    lines = [
        " ".join(f"the{character}CAT" for character in every[start : start + 500])
        for start in range(0, len(every), 500)
    ]
    for start in range(0, len(lines), 50):
        assert_same_ids(session, encoder, lines[start : start + 50])
    assert_same_ids(session, encoder, ["".join(every[:LONG]), " ".join(every[-LONG // 2 :])])
    # RE2 reports there that an expression exceeds its memory limit.
    assert capfd.readouterr().err == ""


@units
@pytest.mark.parametrize("piece", ["aA", "İ", " ", "[PAD]"])
def test_very_long_texts_have_the_same_ids(graphs, unit, piece):
    session, encoder = graphs(unit, True, "both", 8)
    assert_same_ids(session, encoder, [piece * (LONG // len(piece)), "the cat"])


@pytest.fixture(scope="module")
def with_pieces(multi_label_folder, onnx_session):
    """From training texts to a session and an encoder, of words with pieces."""
    loaded = read_model_folder(multi_label_folder)

    def made(texts, pieces=1000):
        tokenizer = train_tokenizer(texts, pieces=pieces)
        changed = with_other_tokenizer(loaded, tokenizer, "pieces")
        return onnx_session(tokenizer_graph(changed)), Encoder(tokenizer, 512)

    return made


def test_words_are_split_into_pieces(with_pieces):
    session, encoder = with_pieces(["walk walks walking talk talking a the"])
    texts = ["talks", "Walk the TALKS, walkz! stalk", "thewalk walking walkingtalking", "[UNK]a"]
    assert_same_ids(session, encoder, texts)
    walk, s, the = (encoder.encode([text])[0].ids for text in ("walk", "talks", "the"))
    assert run(session, ["walk the talks"])[0][0].tolist() == [*walk, *the[1:], *s[1:]]
    assert len(s) == 3


LETTERS = st.text(alphabet="abAéÉİß한글\u0301\u200d猫x-", min_size=1, max_size=140)


@settings(max_examples=100)
@given(texts=st.lists(st.lists(LETTERS, max_size=5).map(" ".join), min_size=1, max_size=5))
def test_any_words_are_split_into_the_same_pieces(split_letters, texts):
    assert_same_ids(*split_letters, texts)


@pytest.fixture(scope="module")
def split_letters(with_pieces):
    words = "a ab aab abb bab ba éa aé bé éab i̇a ai̇ ssß ßa 한글 글한 글글 ax xa bx xb aaaa bbbbbb"
    return with_pieces([words], pieces=40)


def test_the_longest_words_are_split_and_longer_ones_are_unknown(with_pieces):
    session, encoder = with_pieces(["a aa aaa", "w" * 100, "w" * 65, "ww"], pieces=6)
    texts = ["a" * size for size in (1, 4, 63, 64, 65, 99, 100, 101, 128, 129, LONG)]
    texts += ["w" * size for size in (3, 64, 66, 98, 99, 100, 101)]
    texts += ["aA" * 50, "aA" * 51, "Aw" * 50, f"{'w' * 65}{'a' * 35}", f"{'w' * 65}{'a' * 36}"]
    assert_same_ids(session, encoder, texts)
    for text in texts:
        assert_same_ids(session, encoder, [text])


@units
def test_a_vocabulary_of_single_letters_has_the_same_ids(multi_label_folder, onnx_session, unit):
    tokenizer = train_tokenizer(["a B"], **UNITS[unit])
    loaded = with_other_tokenizer(read_model_folder(multi_label_folder), tokenizer, unit)
    texts = ["a b", "AB", "A. b", ""]
    assert_same_ids(onnx_session(tokenizer_graph(loaded)), Encoder(tokenizer, 512), texts)


@units
def test_dropped_characters_take_precedence(multi_label_folder, onnx_session, unit):
    """Where classes overlap, as they could in another version of Unicode."""
    document = json.loads(train_tokenizer(EDGE_CASES, **UNITS[unit]).to_str())
    pattern = document["normalizer"]["normalizers"][0]["pattern"]
    dropped = character_classes.members(pattern["Regex"]) | set(map(ord, "\t\u3000#猫tT"))
    pattern["Regex"] = character_classes.class_of(dropped)
    tokenizer = Tokenizer.from_str(json.dumps(document))
    loaded = with_other_tokenizer(read_model_folder(multi_label_folder), tokenizer, unit)
    assert_same_ids(onnx_session(tokenizer_graph(loaded)), Encoder(tokenizer, 512), EDGE_CASES)


@pytest.mark.parametrize("name", ["goemotions/train.jsonl", "thucnews/train.csv"])
@units
def test_real_texts_have_the_same_ids(shared_data, multi_label_folder, onnx_session, name, unit):
    rows = read_rows(shared_data / name, bad_rows=StopAtBadRows())
    texts = [row.text for row, _ in zip(rows, range(4000), strict=False)]
    tokenizer = train_tokenizer(texts[:2000], **UNITS[unit])
    loaded = with_other_tokenizer(
        read_model_folder(multi_label_folder), tokenizer, unit, 20, "both"
    )
    session, encoder = onnx_session(tokenizer_graph(loaded)), Encoder(tokenizer, 20, "both")
    for start in range(0, len(texts), 200):
        assert_same_ids(session, encoder, texts[start : start + 200])


def sentences(languages):
    rows = read_rows(languages / "test.csv", bad_rows=StopAtBadRows())
    return [row.text for row in rows]


def with_tokens(texts, classifier):
    return [text for text in texts if not classifier.encode([text])[0].is_empty]


@pytest.fixture(scope="module")
def served(model_folder, onnx_session):
    """The classifier of a folder, and a session of its text model."""
    classifier = Classifier.load(model_folder)
    model = with_tokenizer(classifier.artifact)
    # The same folder gives the same bytes.
    assert model == with_tokenizer(classifier.artifact)
    return classifier, onnx_session(model)


def test_labels_and_scores_are_the_classifiers_and_do_not_depend_on_the_batch(served, languages):
    classifier, session = served
    texts = with_tokens([*sentences(languages), *EDGE_CASES], classifier)
    scores, classes, labels = run(session, texts)
    np.testing.assert_allclose(scores, classifier.predict_proba(texts), rtol=0, atol=1e-6)
    assert labels.tolist() == classifier.predict(texts)
    assert classes.tolist() == classifier.classes_
    assert scores.dtype == np.float32
    for row, text in zip(scores[-80:], texts[-80:], strict=True):
        np.testing.assert_array_equal(run(session, [text], ["scores"])[0][0], row)
    # A text without a token has the scores of [CLS] alone.
    expected = classifier.probabilities(classifier.encode([""]))[0]
    for scores in run(session, ["", " \u200b", "Wo?", "\ufeff"], ["scores"])[0][[0, 1, 3]]:
        np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-6)


def with_reject(loaded, threshold):
    reject = RejectSettings(threshold=float(threshold), label="none")
    gatewise = loaded.config.gatewise.model_copy(update={"reject": reject})
    return replace(loaded, config=loaded.config.model_copy(update={"gatewise": gatewise}))


def test_a_text_is_rejected_below_the_threshold_and_not_at_it(served, onnx_session):
    classifier, _ = served
    text = "Wo ist der Bahnhof?"
    score = float(classifier.predict_proba([text]).max())
    for threshold, label in ((score, "de"), (np.nextafter(np.float32(score), 2), "none")):
        session = onnx_session(with_tokenizer(with_reject(classifier.artifact, threshold)))
        assert run(session, [text], ["label"])[0].tolist() == [label]


def test_of_equal_scores_the_first_label_is_predicted(multi_label_folder, onnx_session):
    loaded = read_model_folder(multi_label_folder)
    gatewise = loaded.config.gatewise.model_copy(update={"thresholds": None})
    single = {"problem_type": "single_label_classification", "gatewise": gatewise}
    loaded = replace(loaded, config=loaded.config.model_copy(update=single))
    texts = ["grey", "red green", "red"]
    (labels,) = run(onnx_session(with_tokenizer(loaded)), texts, ["label"])
    assert labels.tolist() == Classifier(loaded).predict(texts) == ["blue", "green", "red"]


def test_multiple_labels_are_those_that_reach_their_thresholds(multi_label_folder, onnx_session):
    classifier = Classifier.load(multi_label_folder)
    session = onnx_session(with_tokenizer(classifier.artifact))
    texts = ["blue", "Green", "GREEN green", "reddish", "grey"]
    texts += ["Red, blue; GREEN green", "re\u200dd"]
    scores, classes, labels = run(session, texts)
    np.testing.assert_allclose(scores, classifier.predict_proba(texts), rtol=0, atol=1e-6)
    named = [set(classes[row]) for row in labels]
    assert named == [set(label) for label in classifier.predict(texts)]
    assert [sorted(row) for row in named] == [
        *(["blue"], [], ["green"], ["red"], []),
        *(["blue", "green", "red"], ["red"]),
    ]


def test_a_network_of_a_newer_opset_keeps_it(multi_label_folder, onnx_session):
    loaded = read_model_folder(multi_label_folder)
    newer = onnx.version_converter.convert_version(onnx.load_model_from_string(loaded.model), 21)
    model = with_tokenizer(replace(loaded, model=newer.SerializeToString()))
    assert {opset.domain: opset.version for opset in model.opset_import}[""] == 21
    assert run(onnx_session(model), ["blue"], ["labels"])[0].tolist() == [[True, False, False]]


def test_an_unsupported_tokenizer_is_refused_with_its_path(model_folder):
    loaded = read_model_folder(model_folder)
    changed = with_other_tokenizer(loaded, train_tokenizer(["a b"], unit="ngram"), "ngram")
    message = r"tokenizer\.json: expected a tokenizer .* ngram"
    with pytest.raises(TokenizerTablesError, match=message):
        with_tokenizer(changed)


@pytest.fixture(params=["onnxruntime-node", "onnxruntime-web"])
def in_node(request, tmp_path):
    """Runs a model in an onnxruntime of JavaScript; returns its outputs by name."""
    if reason := missing_in_node():
        pytest.skip(reason)

    def run_in_node(model, texts):
        path = tmp_path / "model.onnx"
        path.write_bytes(model.SerializeToString())
        question = {"runtime": request.param, "model": str(path), "texts": list(texts)}
        ended = subprocess.run(
            ["node", Path(__file__).parent / "answers.cjs"],
            check=False,
            env={**os.environ, "NODE_PATH": str(NODE_MODULES)},
            input=json.dumps(question),
            capture_output=True,
            encoding="utf-8",
        )
        assert ended.returncode == 0, ended.stderr
        return {
            name: np.array(value["data"]).reshape(value["dims"])
            for name, value in json.loads(ended.stdout).items()
        }

    return run_in_node


def test_javascript_gives_the_same_answers(in_node, model_folder, languages):
    classifier = Classifier.load(model_folder)
    texts = [text.replace("\x00", "") for text in [*sentences(languages), *EDGE_CASES]]
    texts = with_tokens(texts, classifier)
    answer = in_node(with_tokenizer(classifier.artifact), texts)
    np.testing.assert_allclose(answer["scores"], classifier.predict_proba(texts), atol=1e-5)
    assert answer["label"].tolist() == classifier.predict(texts)
    assert answer["classes"].tolist() == classifier.classes_


@units
def test_javascript_gives_the_same_ids(in_node, multi_label_folder, unit):
    tokenizer = train_tokenizer(EDGE_CASES, vocab_size=150, **UNITS[unit])
    loaded = with_other_tokenizer(
        read_model_folder(multi_label_folder), tokenizer, unit, 20, "tail"
    )
    texts = [text.replace("\x00", "") for text in EDGE_CASES]
    answer = in_node(tokenizer_graph(loaded), texts)
    expected = pad([text.ids for text in Encoder(tokenizer, 20, "tail").encode(texts)])
    np.testing.assert_array_equal(answer["network/input_ids"], expected.inputs)
    np.testing.assert_array_equal(answer["network/attention_mask"], expected.attention_mask)


def test_javascript_ends_a_text_at_a_nul(in_node, multi_label_folder, onnx_session):
    """Its tensors have C strings: an app must remove U+0000 first."""
    model = with_tokenizer(read_model_folder(multi_label_folder))
    answer = in_node(model, ["blue\x00 red", "blue red"])
    assert answer["labels"].astype(bool).tolist() == [[True, False, False], [True, False, True]]
    here = run(onnx_session(model), ["blue\x00 red"], ["labels"])[0]
    assert here.tolist() == [[True, False, True]]
