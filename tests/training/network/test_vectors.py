"""Pretrained vectors from small files and encoders in the published formats."""

import gzip
import os
import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
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
def test_words_are_found_in_files_of_both_kinds(tokenizer, tmp_path, name):
    content = lines(["the", *WORDS[:5], "zzz"], header=".vec" in name)
    loaded = vectors.load(written(tmp_path / name, content), tokenizer, 4, seed=1)
    assert (loaded.found, loaded.of) == (5, 6)
    assert loaded.share == 5 / 6
    assert loaded.matrix.dtype == np.float32
    assert loaded.matrix.shape == (tokenizer.get_vocab_size(), 4)
    by_word = {line.split(" ")[0]: numbers(line) for line in content if " " in line}
    scale = row(loaded, tokenizer, "berlin") / by_word["berlin"]
    for word in WORDS[:5]:
        np.testing.assert_allclose(
            row(loaded, tokenizer, word), by_word[word] * scale.mean(), rtol=1e-3, atol=1e-5
        )


def test_found_vectors_have_one_scale_and_the_others_are_small_and_seeded(tokenizer, tmp_path):
    path = written(tmp_path / "words.txt", lines(WORDS[:5]))
    first, again, other = (vectors.load(path, tokenizer, 4, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.matrix, again.matrix)
    known = [tokenizer.token_to_id(word) for word in WORDS[:5]]
    assert first.matrix[known].std() == pytest.approx(0.3, rel=1e-3)
    np.testing.assert_array_equal(first.matrix[known], other.matrix[known])
    unheard = row(first, tokenizer, "unheard")
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


def test_words_are_found_if_the_tokenizer_marks_them(tmp_path):
    tokenizer = train_tokenizer(["berlin is a city"] * 3, unit="ngram")
    file = written(tmp_path / "words.txt", lines(["Berlin", "city", "is", "a", "zzz"]))
    assert vectors.load(file, tokenizer, 4, seed=1).found >= 4


def test_case_matters_if_the_tokenizer_preserves_it(tmp_path):
    tokenizer = train_tokenizer(["Berlin is a city"], lowercase=False)
    path = written(tmp_path / "words.txt", lines(["berlin", "is", "a"]))
    assert vectors.load(path, tokenizer, 4, seed=1).found == 2


def test_words_may_contain_spaces(tokenizer, tmp_path):
    content = lines(["is", "a", ". . .", "at name@domain.com", "no\xa0break", "city"])
    content[1] += " "  # as fastText ends its lines
    assert vectors.load(written(tmp_path / "w.txt", content), tokenizer, 4, seed=1).found == 3


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


def broken(number, replacement, header=True):
    content = lines(["the", *WORDS], header=header)
    content[number - 1] = replacement
    return content


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (broken(4, "is 0.1 0.2 0.3"), r", line 4: expected a word and 4 numbers.*received 3"),
        (broken(4, "unwanted 1 2 3"), r", line 4: expected a word and 4 numbers.*received 3"),
        (broken(4, "is 0.1 0.2 0.x 0.4"), r", line 4: .*received '0.x', which is not a number"),
        (
            broken(4, "is 0.1 nan 0.3 0.4"),
            r", line 4: .*received 'nan', which is not a finite number",
        ),
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


def test_a_damaged_archive_is_refused(tokenizer, tmp_path):
    path = written(tmp_path / "words.vec.gz", lines([f"w{n}" for n in range(5000)]))
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(VectorsError, match="cannot be read"):
        vectors.load(path, tokenizer, 4, seed=1)


def test_a_missing_file_is_refused(tokenizer, tmp_path):
    with pytest.raises(VectorsError, match="no such file or folder"):
        vectors.load(tmp_path / "none.vec", tokenizer, 4, seed=1)


def encoder(folder, *, pooled=False, types=True, width=6):
    """Writes a sentence encoder of one embedding and a tanh in the layout of a model hub."""
    folder.mkdir(parents=True, exist_ok=True)
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefghijklmnopqrstuvwxyzß"]
    tokenizer = Tokenizer(models.WordLevel({p: n for n, p in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    table = np.random.default_rng(0).normal(size=(len(pieces), width)).astype(np.float32)
    output = "sentence_embedding" if pooled else "last_hidden_state"
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["found"])]
    if pooled:
        nodes += [
            helper.make_node("Cast", ["attention_mask"], ["counted"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", ["counted", "last"], ["column"]),
            helper.make_node("Mul", ["found", "column"], ["kept"]),
            helper.make_node("ReduceSum", ["kept", "steps"], [output], keepdims=0),
        ]
    else:
        nodes.append(helper.make_node("Tanh", ["found"], [output]))
    names = ["input_ids", "attention_mask", *(["token_type_ids"] if types else [])]
    shape = ["batch", width] if pooled else ["batch", "steps", width]
    graph = helper.make_graph(
        nodes,
        "encoder",
        [helper.make_tensor_value_info(n, TensorProto.INT64, ["batch", "steps"]) for n in names],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)],
        [
            numpy_helper.from_array(table, "table"),
            numpy_helper.from_array(np.array([2]), "last"),
            numpy_helper.from_array(np.array([1]), "steps"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (folder / "onnx").mkdir(exist_ok=True)
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

words = ["".join(random.Random(n).choices("abcdefgh", k=8)) for n in range(3000)]
texts = [" ".join(words[n : n + 9]) for n in range(0, 3000, 3)]
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


def test_a_vocabulary_of_one_token_is_refused(tmp_path):
    encoder(tmp_path / "encoder")
    with pytest.raises(VectorsError, match="a vocabulary of at least two tokens, received 1"):
        vectors.load(tmp_path / "encoder", train_tokenizer(["a a"]), 6, seed=1)


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
    ],
)
def test_a_folder_without_an_encoder_is_refused(tokenizer, tmp_path, damage, reason):
    encoder(tmp_path / "encoder")
    damage(tmp_path / "encoder")
    with pytest.raises(VectorsError, match=reason) as raised:
        vectors.load(tmp_path / "encoder", tokenizer, 4, seed=1)
    assert "\n" not in str(raised.value)


def test_an_encoder_that_drops_tokens_is_refused(tokenizer, tmp_path):
    encoder(tmp_path / "encoder")
    path = tmp_path / "encoder" / "onnx" / "model.onnx"
    model = onnx.load(path)
    model.graph.node[-1].output[0] = "every"
    for name, value in (("from", 0), ("to", 2), ("axis", 1)):
        model.graph.initializer.append(numpy_helper.from_array(np.array([value]), name))
    cut = helper.make_node("Slice", ["every", "from", "to", "axis"], ["last_hidden_state"])
    model.graph.node.append(cut)
    onnx.save(model, path)
    with pytest.raises(VectorsError, match=r"a vector for each text or token, received the shape"):
        vectors.load(tmp_path / "encoder", tokenizer, 4, seed=1, texts=["berlin is a city"])


def test_a_tokenizer_that_fails_is_reported(tokenizer, tmp_path):
    encoder(tmp_path / "encoder")
    broken = Tokenizer(models.WordLevel({"[PAD]": 0, "a": 1}, unk_token="[UNK]"))
    broken.save(str(tmp_path / "encoder" / "tokenizer.json"))
    with pytest.raises(VectorsError, match=r"the tokenizer cannot encode a text: .*UNK"):
        vectors.load(tmp_path / "encoder", tokenizer, 4, seed=1)


def test_another_kind_of_model_is_refused(tokenizer, tmp_path):
    encoder(tmp_path / "encoder")
    path = tmp_path / "encoder" / "onnx" / "model.onnx"
    model = onnx.load(path)
    model.graph.output[0].name = model.graph.node[-1].output[0] = "logits"
    onnx.save(model, path)
    with pytest.raises(VectorsError, match=r"expected a sentence encoder.*outputs logits"):
        vectors.load(tmp_path / "encoder", tokenizer, 4, seed=1)


def test_a_file_is_refused_without_tensorflow():
    modules = "gatewise.training.network.vectors, gatewise.training.network.parameters"
    code = f"import sys, {modules}\nprint('tensorflow' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ended.stdout.strip() == "False"
