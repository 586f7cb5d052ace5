"""Pretrained vectors from small files and encoders in the published formats."""

import gzip
import os
import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from gatewise.training.network import sentence_encoder, vectors
from gatewise.training.network.vectors import VectorsError
from gatewise.vocab.tokenizer.tokenizer import train_tokenizer

WORDS = ["berlin", "is", "a", "city", "straße", "unheard"]


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer([" ".join(WORDS)])


def lines(words, width=4, header=False):
    generator = np.random.default_rng(0)
    rows = [
        f"{word} " + " ".join(f"{x:.4f}" for x in generator.normal(size=width)) for word in words
    ]
    return [*([f"{len(words)} {width}"] if header else []), *rows]


def numbers(line):
    return np.array(line.split(" ")[-4:], dtype=np.float32)


def written(path, content):
    data = ("\n".join(content) + "\n").encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def row(loaded, tokenizer, word):
    return loaded.matrix[tokenizer.token_to_id(word)]


@pytest.mark.parametrize("name", ["words.txt", "words.vec.gz"])
def test_words_are_found_with_one_scale_and_the_others_are_small_and_seeded(
    tokenizer, tmp_path, name
):
    content = lines(["the", *WORDS[:5], "zzz"], header=".vec" in name)
    path = written(tmp_path / name, content)
    loaded, again, other = (vectors.load(path, tokenizer, 4, seed=seed) for seed in (1, 1, 2))
    assert (loaded.found, loaded.of, loaded.share) == (5, 6, 5 / 6)
    assert loaded.matrix.dtype == np.float32
    assert loaded.matrix.shape == (tokenizer.get_vocab_size(), 4)
    by_word = {line.split(" ")[0]: numbers(line) for line in content if " " in line}
    scale = (row(loaded, tokenizer, "berlin") / by_word["berlin"]).mean()
    for word in WORDS[:5]:
        found = row(loaded, tokenizer, word)
        np.testing.assert_allclose(found, by_word[word] * scale, rtol=1e-3, atol=1e-5)
        np.testing.assert_array_equal(found, row(other, tokenizer, word))
    known = [tokenizer.token_to_id(word) for word in WORDS[:5]]
    assert loaded.matrix[known].std() == pytest.approx(0.3, rel=1e-3)
    np.testing.assert_array_equal(loaded.matrix, again.matrix)
    unheard = row(loaded, tokenizer, "unheard")
    assert 0 < np.abs(unheard).max() <= 0.05
    assert (unheard != row(other, tokenizer, "unheard")).any()


def test_an_exact_word_precedes_the_first_that_is_normalized_to_it(tokenizer, tmp_path):
    content = lines(["BERLIN", "Berlin", "CITY", "city", "city", "is"])
    loaded = vectors.load(written(tmp_path / "words.txt", content), tokenizer, 4, seed=1)
    assert loaded.found == 3
    scale = row(loaded, tokenizer, "is") / numbers(content[5])
    for word, place in (("berlin", 0), ("city", 3)):
        np.testing.assert_allclose(
            row(loaded, tokenizer, word), numbers(content[place]) * scale.mean(), rtol=1e-3
        )


@pytest.mark.parametrize(
    ("options", "words", "found"),
    [
        ({"unit": "ngram"}, ["Berlin", "city", "is", "a", "zzz"], 4),
        ({"lowercase": False}, ["berlin", "is", "a"], 2),
        # Words may contain spaces, and fastText ends its lines with one.
        ({}, ["is", "a", ". . .", "at name@domain.com", "no\xa0break", "city"], 3),
    ],
)
def test_words_are_found_as_the_tokenizer_writes_them(tmp_path, options, words, found):
    tokenizer = train_tokenizer(["Berlin is a city"] * 3, **options)
    content = lines(words)
    content[1] += " "
    loaded = vectors.load(written(tmp_path / "words.txt", content), tokenizer, 4, seed=1)
    assert loaded.found == found


def test_wider_vectors_are_reduced_to_their_principal_components(tokenizer, tmp_path):
    generator = np.random.default_rng(0)
    plane, place = generator.normal(size=(2, 7)), generator.normal(size=(6, 2))
    content = [
        f"{word} " + " ".join(map(repr, map(float, numbers)))
        for word, numbers in zip(WORDS, place @ plane + 5, strict=True)
    ]
    path = written(tmp_path / "words.vec", content)
    loaded = vectors.load(path, tokenizer, 2, seed=1)
    again = vectors.load(path, tokenizer, 2, seed=1)
    np.testing.assert_array_equal(loaded.matrix, again.matrix)
    ids = [tokenizer.token_to_id(word) for word in WORDS]
    # In a plane: distances between words stay, up to the one scale.
    before = np.linalg.norm((place @ plane)[:, None] - (place @ plane)[None], axis=-1)
    after = np.linalg.norm(loaded.matrix[ids][:, None] - loaded.matrix[ids][None], axis=-1)
    ratio = after[before > 0] / before[before > 0]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-4)


def test_fewer_words_than_components_leave_zeros(tokenizer, tmp_path):
    path = written(tmp_path / "words.vec", lines(["is", "a"], width=9))
    loaded = vectors.load(path, tokenizer, 5, seed=1)
    np.testing.assert_array_equal(row(loaded, tokenizer, "is")[2:], 0)
    assert np.abs(row(loaded, tokenizer, "is")[:1]).max() > 0


def broken(number, replacement):
    content = lines(["the", *WORDS], header=True)
    content[number - 1] = replacement
    return content


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (broken(4, "is 0.1 0.2 0.3"), r", line 4: expected a word and 4 numbers.*received 3"),
        (broken(4, "unwanted 1 2 3"), r", line 4: expected a word and 4 numbers.*received 3"),
        (broken(4, "is 0.1 0.2 0.x 0.4"), r", line 4: .*received '0.x', which is not a number"),
        (broken(4, "is 0.1 nan 0.3 0.4"), r", line 4: .*received 'nan', which is not a finite"),
        (broken(4, "is 0.1 1e99 0.3 0.4"), r", line 4: .*received '1e99', which is not a finite"),
        (broken(4, "is\t0.1\t0.2\t0.3\t0.4"), r", line 4: .*received 0 fields"),
        (["text,label", "a,b"], r", line 1: expected a word and its numbers.*received no number"),
        (["some words", "a b"], r", line 1: .*received 'words', which is not a number"),
        (["2 3"], "has no vectors"),
        (lines(["das", "ist"]), "0 of the vocabulary's 6 tokens have a vector in it"),
        (lines(WORDS, width=3), "at least network.embedding_size=4 numbers, received 3"),
        (["x" * 2_000_000], r", line 1: longer than 1,048,576 bytes"),
    ],
)
def test_a_malformed_file_is_refused_in_one_line(tokenizer, tmp_path, content, reason):
    path = written(tmp_path / "words.vec", content)
    with pytest.raises(VectorsError, match=reason) as raised:
        vectors.load(path, tokenizer, 4, seed=1)
    assert "\n" not in str(raised.value)
    assert str(path) in str(raised.value)


def test_a_missing_file_and_a_damaged_archive_are_refused(tokenizer, tmp_path):
    path = written(tmp_path / "words.vec.gz", lines([f"w{n}" for n in range(5000)]))
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(VectorsError, match="cannot be read"):
        vectors.load(path, tokenizer, 4, seed=1)
    with pytest.raises(VectorsError, match="no such file or folder"):
        vectors.load(tmp_path / "none.vec", tokenizer, 4, seed=1)


POOLING = """
    mask = Cast <to = 1> (attention_mask)
    column = Unsqueeze(mask, last)
    kept = Mul(found, column)
    sentence_embedding = ReduceSum <keepdims = 0> (kept, second)
"""


def encoder(folder, *, pooled=False, types=True, width=6):
    """Writes a sentence encoder of one embedding and a tanh in the layout of a model hub."""
    (folder / "onnx").mkdir(parents=True)
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefghijklmnopqrstuvwxyzß"]
    tokenizer = Tokenizer(models.WordLevel({p: n for n, p in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    names = ["input_ids", "attention_mask", *(["token_type_ids"] if types else [])]
    inputs = ", ".join(f"int64[batch, steps] {name}" for name in names)
    states = f"float[batch, steps, {width}] last_hidden_state"
    output = f"float[batch, {width}] sentence_embedding" if pooled else states
    pooling = POOLING if pooled else "last_hidden_state = Tanh(found)"
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]>'
        f"encoder ({inputs}) => ({output}) <int64[1] last = {{2}}, int64[1] second = {{1}}>"
        f"{{ found = Gather(table, input_ids) {pooling} }}"
    )
    table = np.random.default_rng(0).normal(size=(len(pieces), width)).astype(np.float32)
    model.graph.initializer.append(numpy_helper.from_array(table, "table"))
    onnx.save(model, folder / "onnx" / "model.onnx")
    return table, tokenizer


@pytest.mark.parametrize(("pooled", "types"), [(False, True), (True, False)])
def test_tokens_are_encoded_alone_without_texts(tokenizer, tmp_path, pooled, types):
    table, pieces = encoder(tmp_path / "encoder", pooled=pooled, types=types)
    loaded = vectors.load(tmp_path / "encoder", tokenizer, 6, seed=1)
    assert (loaded.found, loaded.of) == (6, 6)

    def expected(word):
        found = table[pieces.encode(word).ids]
        return found.sum(axis=0) if pooled else np.tanh(found).mean(axis=0)

    scale = (row(loaded, tokenizer, "is") / expected("is")).mean()
    for word in WORDS:
        np.testing.assert_allclose(
            row(loaded, tokenizer, word), expected(word) * scale, rtol=1e-4, atol=1e-6
        )


def test_a_token_has_the_mean_of_its_states_in_the_texts(tokenizer, tmp_path):
    table, pieces = encoder(tmp_path / "encoder")
    ids = {word: tokenizer.token_to_id(word) for word in WORDS}
    texts = ["A  city\nis,", "Berlin is a city"]  # the encoder does not know capital letters
    found = sentence_encoder.encode(
        tmp_path / "encoder",
        {id_: word for word, id_ in ids.items()},
        tokenizer.get_vocab_size(),
        tokenizer,
        texts,
    )

    def states(characters):
        return np.tanh(table[pieces.encode(characters, add_special_tokens=False).ids])

    of_berlin = states("Berlin").mean(axis=0)
    np.testing.assert_allclose(found.matrix[ids["berlin"]], of_berlin, rtol=1e-5)
    for word in ("is", "city"):
        np.testing.assert_allclose(found.matrix[ids[word]], states(word).mean(axis=0), rtol=1e-5)
    of_a = (states("A")[0] + states("a")[0]) / 2
    np.testing.assert_allclose(found.matrix[ids["a"]], of_a, rtol=1e-5)
    # It occurs in no text, so it is encoded alone, between special tokens.
    alone = np.tanh(table[pieces.encode("unheard").ids]).mean(axis=0)
    np.testing.assert_allclose(found.matrix[ids["unheard"]], alone, rtol=1e-5)


def test_texts_of_frequent_tokens_are_not_encoded(tokenizer, tmp_path, monkeypatch):
    encoder(tmp_path / "encoder")
    encoded = []
    states = sentence_encoder._SentenceEncoder.states

    def recorded(self, spans):
        encoded.extend(span.text for span in spans)
        return states(self, spans)

    monkeypatch.setattr(sentence_encoder._SentenceEncoder, "states", recorded)
    texts = [" a city "] * 3000 + ["is a city " * 20]
    vectors.load(tmp_path / "encoder", tokenizer, 6, seed=1, texts=texts)
    assert encoded.count("a city") == 4
    # A long text is encoded in spans, until its words are frequent too.
    assert [text for text in encoded if text != "a city"] == ["is a city " * 10 + "is a"]


def test_unknown_words_have_no_vector(tmp_path):
    encoder(tmp_path / "encoder")
    tokenizer = train_tokenizer(["a city a city"], min_frequency=2)
    texts = ["a strange city", "[PAD] a city"]
    loaded = vectors.load(tmp_path / "encoder", tokenizer, 6, seed=1, texts=texts)
    assert (loaded.found, loaded.of) == (2, 2)


def test_a_span_that_is_too_long_for_the_encoder_is_read_in_parts(tokenizer, tmp_path):
    table, pieces = encoder(tmp_path / "encoder")
    # There are more letters before the word than the encoder reads at once.
    texts = [" ".join(["berlin"] * 25) + " City"]
    surfaces = {tokenizer.token_to_id("city"): "city"}
    found = sentence_encoder.encode(
        tmp_path / "encoder", surfaces, tokenizer.get_vocab_size(), tokenizer, texts
    )
    expected = np.tanh(table[pieces.encode("City", add_special_tokens=False).ids]).mean(axis=0)
    np.testing.assert_allclose(found.matrix[tokenizer.token_to_id("city")], expected, rtol=1e-5)


def test_vectors_do_not_depend_on_the_number_of_cores(tmp_path):
    encoder(tmp_path / "encoder", width=64)
    script = f"""
import hashlib, random
from pathlib import Path
from gatewise.training.network import vectors
from gatewise.vocab.tokenizer.tokenizer import train_tokenizer

words = ["".join(random.Random(n).choices("abcdefgh", k=8)) for n in range(1000)]
texts = [" ".join(words[n : n + 9]) for n in range(0, 1000, 3)]
found = vectors.load(Path({str(tmp_path / "encoder")!r}), train_tokenizer(texts), 8, 1, texts)
print(hashlib.sha256(found.matrix.tobytes()).hexdigest())
"""
    cores = sorted(os.sched_getaffinity(0))
    digests = set()
    for some in (cores[:1], cores):
        ended = subprocess.run(
            [sys.executable, "-c", script],
            check=True,
            capture_output=True,
            text=True,
            preexec_fn=lambda some=some: os.sched_setaffinity(0, some),
        )
        digests.add(ended.stdout)
    assert len(digests) == 1


def with_model(change):
    """Changes the ONNX file of an encoder."""

    def changed(folder):
        model = onnx.load(folder / "onnx" / "model.onnx")
        change(model.graph)
        onnx.save(model, folder / "onnx" / "model.onnx")

    return changed


def slice_states(graph):
    graph.node[-1].output[0] = "every"
    for name, value in (("from", 0), ("to", 2), ("axis", 1)):
        graph.initializer.append(numpy_helper.from_array(np.array([value]), name))
    inputs = ["every", "from", "to", "axis"]
    graph.node.append(helper.make_node("Slice", inputs, ["last_hidden_state"]))


def rename_output(graph):
    graph.output[0].name = graph.node[-1].output[0] = "logits"


def without_unknown(folder):
    pieces = Tokenizer(models.WordLevel({"[PAD]": 0, "a": 1}, unk_token="[UNK]"))
    pieces.save(str(folder / "tokenizer.json"))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer.json, found none"),
        (lambda folder: (folder / "tokenizer.json").write_text("{"), "not a tokenizer"),
        (lambda folder: (folder / "onnx" / "model.onnx").unlink(), "onnx/model.onnx.*found none"),
        (
            lambda folder: (folder / "onnx" / "model.onnx").write_bytes(b"no model"),
            "onnxruntime cannot load it",
        ),
        (with_model(slice_states), "a vector for each text or token, received the shape"),
        (with_model(rename_output), "expected a sentence encoder.*outputs logits"),
        (without_unknown, "the tokenizer cannot encode a text: .*UNK"),
    ],
)
def test_a_folder_without_an_encoder_is_refused(tokenizer, tmp_path, damage, reason):
    encoder(tmp_path / "encoder")
    damage(tmp_path / "encoder")
    with pytest.raises(VectorsError, match=reason) as raised:
        vectors.load(tmp_path / "encoder", tokenizer, 4, seed=1, texts=["berlin is a city"])
    assert "\n" not in str(raised.value)


def test_a_vocabulary_of_one_token_is_refused(tmp_path):
    encoder(tmp_path / "encoder")
    with pytest.raises(VectorsError, match="a vocabulary of at least two tokens, received 1"):
        vectors.load(tmp_path / "encoder", train_tokenizer(["a a"]), 6, seed=1)


def test_vectors_and_parameters_are_read_without_tensorflow():
    modules = "gatewise.training.network.vectors, gatewise.training.network.parameters"
    code = f"import sys, {modules}\nprint('tensorflow' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ended.stdout.strip() == "False"
