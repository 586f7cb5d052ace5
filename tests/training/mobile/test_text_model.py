"""The one file answers as the classifier does: first the ids, then scores and labels."""

import functools
import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from gatewise.service.model.classifier import Classifier
from gatewise.service.model.model_documents import RejectSettings
from gatewise.service.model.model_folder import read_model_folder
from gatewise.training.mobile.text_model import tokenizing, with_tokenizer
from gatewise.training.mobile.tokenizer_tables import TokenizerTablesError
from gatewise.vocab.corpus.bad_row_policy import StopAtBadRows
from gatewise.vocab.corpus.corpus_reader import read_rows
from gatewise.vocab.tokenizer import character_classes
from gatewise.vocab.tokenizer.encoding import Encoder, pad
from gatewise.vocab.tokenizer.tokenizer import train_tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer

HERE = Path(__file__).parent
MODULES = HERE.parents[1] / "runtimes" / "node_modules"
FAMILY = "👨\u200d👩\u200d👧\u200d👦"
LONG = 100_000
AWKWARD = [
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
KEPT = [("head", 512), ("head", 5), ("tail", 2), ("tail", 6), ("both", 3), ("both", 8)]
units = pytest.mark.parametrize("unit", ["word", "character"])
kinds = pytest.mark.parametrize(
    ("unit", "lowercase"),
    [("word", True), ("word", False), ("character", True)],
    ids=["words", "words-cased", "characters"],
)

ODD = st.sampled_from(
    [
        *("[PAD]", "[UNK]", "[CLS]", "[", "]", "PAD]", "##", FAMILY, "İ", "Σ", "ς", "ß", "ẞ", "Ⅷ"),
        *("\u200d", "\ufe0f", "\u0301", "\u0307", "\x00", "\x85", "\u2028", "\u3000", " ", "\n"),
        *("the", "THE", "Cat", "猫", "น้ำ", "한", "é", "É", "\U0001f600", "\U00020bb7"),
    ]
)
TEXTS = st.lists(st.one_of(ODD, st.text(max_size=4)), max_size=12).map("".join)


def session_of(model):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(model.SerializeToString(), options)


def run(session, texts, outputs=None):
    return session.run(outputs, {"text": np.array(list(texts), dtype=object)})


def with_dictionary(loaded, tokenizer, unit, max_length=512, keep="head"):
    """A model folder with another dictionary, of which only the dictionary is asked."""
    tokens = loaded.config.gatewise.tokens.model_copy(
        update={"unit": unit, "max_length": max_length, "keep": keep}
    )
    gatewise = loaded.config.gatewise.model_copy(update={"tokens": tokens})
    config = loaded.config.model_copy(update={"gatewise": gatewise})
    return replace(loaded, tokenizer=tokenizer, config=config)


@pytest.fixture(scope="module")
def graphs(multi_label_folder):
    """From a dictionary's settings to a session and the encoder that it must agree with."""
    loaded = read_model_folder(multi_label_folder)

    @functools.cache
    def made(unit, lowercase, keep="head", max_length=512):
        tokenizer = train_tokenizer(AWKWARD, unit=unit, lowercase=lowercase, vocab_size=150)
        given = with_dictionary(loaded, tokenizer, unit, max_length, keep)
        return session_of(tokenizing(given)), Encoder(tokenizer, max_length, keep)

    return made


def assert_same_ids(session, encoder, texts):
    expected = pad([text.ids for text in encoder.encode(texts)])
    ids, mask = run(session, texts)
    if ids.shape != expected.input_ids.shape or (ids != expected.input_ids).any():
        for text in texts:  # which one it is
            alone = run(session, [text])[0][0].tolist()
            assert alone == encoder.encode([text])[0].ids.tolist(), ascii(text)
    np.testing.assert_array_equal(ids, expected.input_ids)
    np.testing.assert_array_equal(mask, expected.attention_mask)
    assert (ids.dtype, mask.dtype) == (np.int64, np.int64)


@pytest.mark.sampled(5)
@kinds
@pytest.mark.parametrize(("keep", "max_length"), KEPT)
def test_awkward_texts_have_the_same_ids(graphs, unit, lowercase, keep, max_length):
    session, encoder = graphs(unit, lowercase, keep, max_length)
    assert_same_ids(session, encoder, AWKWARD)
    for text in AWKWARD:
        assert_same_ids(session, encoder, [text])


@kinds
@settings(max_examples=300)
@given(texts=st.lists(TEXTS, min_size=1, max_size=12), kept=st.sampled_from(KEPT))
def test_any_texts_have_the_same_ids(graphs, unit, lowercase, texts, kept):
    assert_same_ids(*graphs(unit, lowercase, *kept), texts)


@pytest.mark.exhaustive
@kinds
def test_every_character_has_the_same_ids_wherever_it_stands(graphs, unit, lowercase, capfd):
    session, encoder = graphs(unit, lowercase, "head", LONG)
    every = [chr(code) for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF]
    lines = [
        " ".join(f"the{character}CAT" for character in every[start : start + 500])
        for start in range(0, len(every), 500)
    ]
    for start in range(0, len(lines), 50):
        assert_same_ids(session, encoder, lines[start : start + 50])
    assert_same_ids(session, encoder, ["".join(every[:LONG]), " ".join(every[-LONG // 2 :])])
    # An expression that does not fit into the memory that RE2 allows itself says so there.
    assert capfd.readouterr().err == ""


@units
@pytest.mark.parametrize("piece", ["a", "A", "aA", "猫", "İ", " ", "[", "[PAD]", "\u200d", "the "])
def test_very_long_texts_have_the_same_ids(graphs, unit, piece):
    session, encoder = graphs(unit, True, "both", 8)
    assert_same_ids(session, encoder, [piece * (LONG // len(piece)), "the cat"])


@units
def test_words_of_one_letter_are_enough(multi_label_folder, unit):
    tokenizer = train_tokenizer(["a B"], unit=unit)
    loaded = with_dictionary(read_model_folder(multi_label_folder), tokenizer, unit)
    texts = ["a b", "AB", "A. b", ""]
    assert_same_ids(session_of(tokenizing(loaded)), Encoder(tokenizer, 512), texts)


@units
def test_what_is_dropped_comes_before_all_else(multi_label_folder, unit):
    """Also where the classes overlap, as another version of Unicode might have it."""
    document = json.loads(train_tokenizer(AWKWARD, unit=unit).to_str())
    pattern = document["normalizer"]["normalizers"][0]["pattern"]
    dropped = character_classes.members(pattern["Regex"]) | set(map(ord, "\t\u3000#猫tT"))
    pattern["Regex"] = character_classes.class_of(dropped)
    tokenizer = Tokenizer.from_str(json.dumps(document))
    loaded = with_dictionary(read_model_folder(multi_label_folder), tokenizer, unit)
    assert_same_ids(session_of(tokenizing(loaded)), Encoder(tokenizer, 512), AWKWARD)


@pytest.mark.parametrize(
    "name",
    ["goemotions/train.jsonl", "langid/train.csv", "nsmc/all.csv.gz", "thucnews/train.csv"],
)
@units
def test_real_texts_have_the_same_ids(shared_data, multi_label_folder, name, unit):
    rows = read_rows(shared_data / name, bad_rows=StopAtBadRows())
    texts = [row.text for row, _ in zip(rows, range(4000), strict=False)]
    tokenizer = train_tokenizer(texts[:2000], unit=unit)
    loaded = with_dictionary(read_model_folder(multi_label_folder), tokenizer, unit, 20, "both")
    session, encoder = session_of(tokenizing(loaded)), Encoder(tokenizer, 20, "both")
    for start in range(0, len(texts), 200):
        assert_same_ids(session, encoder, texts[start : start + 200])


def sentences(languages):
    rows = read_rows(languages / "test.csv", bad_rows=StopAtBadRows())
    return [row.text for row in rows]


def as_classified(texts, classifier):
    return [text for text in texts if not classifier.encode([text])[0].is_empty]


def test_labels_and_scores_are_the_classifiers(model_folder, languages):
    classifier = Classifier.load(model_folder)
    texts = as_classified([*sentences(languages), *AWKWARD], classifier)
    session = session_of(with_tokenizer(classifier.artifact))
    scores, classes, labels = run(session, texts)
    np.testing.assert_allclose(scores, classifier.predict_proba(texts), rtol=0, atol=1e-6)
    assert labels.tolist() == classifier.predict(texts)
    assert classes.tolist() == classifier.classes_
    assert scores.dtype == np.float32


def test_a_batch_answers_as_each_text_alone(model_folder, languages):
    session = session_of(with_tokenizer(read_model_folder(model_folder)))
    texts = [*sentences(languages)[:50], *AWKWARD]
    together = run(session, texts, ["scores"])[0]
    for row, text in zip(together, texts, strict=True):
        np.testing.assert_array_equal(run(session, [text], ["scores"])[0][0], row)


def test_a_text_that_reaches_no_label_has_none(rejecting_folder):
    classifier = Classifier.load(rejecting_folder)
    texts = ["Bitte geben Sie eine gültige Adresse ein.", "1 2"]
    session = session_of(with_tokenizer(classifier.artifact))
    (labels,) = run(session, texts, ["label"])
    assert labels.tolist() == classifier.predict(texts) == ["de", "no language"]


def test_a_score_that_is_the_threshold_reaches_it(model_folder):
    loaded = read_model_folder(model_folder)
    text = "Wo ist der Bahnhof?"
    score = float(Classifier(loaded).predict_proba([text]).max())
    for threshold, label in ((score, "de"), (np.nextafter(np.float32(score), 2), "none")):
        reject = RejectSettings(threshold=float(threshold), label="none")
        gatewise = loaded.config.gatewise.model_copy(update={"reject": reject})
        config = loaded.config.model_copy(update={"gatewise": gatewise})
        session = session_of(with_tokenizer(replace(loaded, config=config)))
        assert run(session, [text], ["label"])[0].tolist() == [label]


def test_of_equal_scores_the_first_label_is_given(multi_label_folder):
    loaded = read_model_folder(multi_label_folder)
    gatewise = loaded.config.gatewise.model_copy(update={"thresholds": None})
    single = {"problem_type": "single_label_classification", "gatewise": gatewise}
    loaded = replace(loaded, config=loaded.config.model_copy(update=single))
    texts = ["grey", "red green", "red"]
    (labels,) = run(session_of(with_tokenizer(loaded)), texts, ["label"])
    assert labels.tolist() == Classifier(loaded).predict(texts) == ["blue", "green", "red"]


def test_several_labels_are_those_that_reach_their_thresholds(multi_label_folder):
    classifier = Classifier.load(multi_label_folder)
    session = session_of(with_tokenizer(classifier.artifact))
    texts = [
        "blue",
        "Green",
        "GREEN green",
        "reddish",
        "grey",
        "Red, blue; GREEN green",
        "re\u200dd",
    ]
    scores, classes, labels = run(session, texts)
    np.testing.assert_allclose(scores, classifier.predict_proba(texts), rtol=0, atol=1e-6)
    named = [set(classes[row]) for row in labels]
    assert named == [set(label) for label in classifier.predict(texts)]
    assert [sorted(row) for row in named] == [
        *(["blue"], [], ["green"], ["red"], []),
        *(["blue", "green", "red"], ["red"]),
    ]


def test_a_text_without_a_token_is_answered_from_the_begin_mark(model_folder):
    classifier = Classifier.load(model_folder)
    session = session_of(with_tokenizer(classifier.artifact))
    expected = classifier.probabilities(classifier.encode([""]))[0]
    for scores in run(session, ["", " \u200b", "Wo?", "\ufeff"], ["scores"])[0][[0, 1, 3]]:
        np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-6)


def stored_as_halves(model):
    """The same network with weights in 16 bits, made 32 bits before they are used."""
    proto = onnx.load_model_from_string(model)
    casts = []
    for weight in proto.graph.initializer:
        if weight.data_type == TensorProto.FLOAT:
            name, halves = weight.name, numpy_helper.to_array(weight).astype(np.float16)
            weight.CopyFrom(numpy_helper.from_array(halves, f"{name}.half"))
            casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *proto.graph.node]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    onnx.checker.check_model(proto, full_check=True)
    return proto.SerializeToString()


def test_the_network_may_be_of_another_precision(model_folder, languages):
    whole = read_model_folder(model_folder)
    halves = replace(whole, model=stored_as_halves(whole.model))
    texts = sentences(languages)[:100]
    (scores,) = run(session_of(with_tokenizer(halves)), texts, ["scores"])
    expected = Classifier(halves).predict_proba(texts)
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-6)
    assert (expected != Classifier(whole).predict_proba(texts)).any()


def test_a_network_of_a_newer_opset_is_taken_as_it_is(multi_label_folder):
    loaded = read_model_folder(multi_label_folder)
    newer = onnx.version_converter.convert_version(onnx.load_model_from_string(loaded.model), 21)
    model = with_tokenizer(replace(loaded, model=newer.SerializeToString()))
    assert {opset.domain: opset.version for opset in model.opset_import}[""] == 21
    assert run(session_of(model), ["blue"], ["labels"])[0].tolist() == [[True, False, False]]


@pytest.mark.parametrize("folder", ["model_folder", "multi_label_folder"])
def test_the_same_folder_gives_the_same_bytes(folder, request):
    path = request.getfixturevalue(folder)
    first, second = (with_tokenizer(read_model_folder(path)).SerializeToString() for _ in range(2))
    assert first == second


def test_a_dictionary_that_cannot_be_expressed_is_refused_with_its_place(model_folder):
    loaded = read_model_folder(model_folder)
    tokenizer = train_tokenizer(["a b"], unit="ngram")
    given = with_dictionary(loaded, tokenizer, "ngram")
    for make in (with_tokenizer, tokenizing):
        with pytest.raises(
            TokenizerTablesError, match=r"tokenizer\.json: expected a dictionary .* ngram"
        ):
            make(given)


@pytest.fixture(params=["onnxruntime-node", "onnxruntime-web"])
def in_node(request, tmp_path):
    """Asks a model by an onnxruntime of JavaScript: its outputs by their names."""
    if not shutil.which("node"):
        pytest.skip("there is no node here")
    check = ["node", "--eval", f"require.resolve('{request.param}')"]
    # The packages of the tests of runtimes, and any that are named by who runs the tests.
    paths = [str(MODULES), os.environ.get("NODE_PATH", "")]
    environment = {**os.environ, "NODE_PATH": os.pathsep.join(filter(None, paths))}
    if subprocess.run(check, check=False, env=environment, capture_output=True).returncode:
        pytest.skip(f"{request.param} is neither in {MODULES} nor in NODE_PATH")

    def ask(model, texts):
        path = tmp_path / "model.onnx"
        path.write_bytes(model.SerializeToString())
        question = {"runtime": request.param, "model": str(path), "texts": list(texts)}
        ended = subprocess.run(
            ["node", str(HERE / "answers.cjs")],
            check=False,
            env=environment,
            input=json.dumps(question),
            capture_output=True,
            encoding="utf-8",
        )
        assert ended.returncode == 0, ended.stderr
        return {
            name: np.array(value["data"]).reshape(value["dims"])
            for name, value in json.loads(ended.stdout).items()
        }

    return ask


def test_javascript_answers_alike(in_node, model_folder, languages):
    classifier = Classifier.load(model_folder)
    texts = [text.replace("\x00", "") for text in [*sentences(languages), *AWKWARD]]
    texts = as_classified(texts, classifier)
    answer = in_node(with_tokenizer(classifier.artifact), texts)
    np.testing.assert_allclose(answer["scores"], classifier.predict_proba(texts), atol=1e-5)
    assert answer["label"].tolist() == classifier.predict(texts)
    assert answer["classes"].tolist() == classifier.classes_


def test_javascript_gives_several_labels(in_node, multi_label_folder):
    answer = in_node(with_tokenizer(read_model_folder(multi_label_folder)), ["Blue RED", "grey"])
    assert answer["labels"].astype(bool).tolist() == [[True, False, True], [False] * 3]


@units
def test_javascript_gives_the_same_ids(in_node, multi_label_folder, unit):
    tokenizer = train_tokenizer(AWKWARD, unit=unit, vocab_size=150)
    loaded = with_dictionary(read_model_folder(multi_label_folder), tokenizer, unit, 20, "tail")
    texts = [text.replace("\x00", "") for text in AWKWARD]
    answer = in_node(tokenizing(loaded), texts)
    expected = pad([text.ids for text in Encoder(tokenizer, 20, "tail").encode(texts)])
    np.testing.assert_array_equal(answer["input_ids"], expected.input_ids)
    np.testing.assert_array_equal(answer["attention_mask"], expected.attention_mask)


def test_javascript_ends_a_text_at_a_nul(in_node, multi_label_folder):
    """The one thing to do before: its tensors hold strings as C has them."""
    model = with_tokenizer(read_model_folder(multi_label_folder))
    answer = in_node(model, ["blue\x00 red", "blue red"])
    assert answer["labels"].astype(bool).tolist() == [[True, False, False], [True, False, True]]
    here = run(session_of(model), ["blue\x00 red"], ["labels"])[0]
    assert here.tolist() == [[True, False, True]]
