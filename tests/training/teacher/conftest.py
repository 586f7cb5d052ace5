"""A small encoder in the layout of Hugging Face, and rows that it knows more of than they tell."""

import importlib.util
import json
import random

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

_WORDS = {
    "food": "bread soup cheese apple rice pasta salad onion pepper cake bean tomato",
    "travel": "train plane ticket hotel airport luggage border visa ferry tram bus tour",
    "money": "bank credit loan cash coin salary tax budget invoice debt price fund",
}
TOPICS = {topic: words.split() for topic, words in _WORDS.items()}
FUNCTION_WORDS = ["the", "a", "of", "and", "to", "in", "i", "need", "my", "some", "about", "please"]
PIECES = ["##s", "##ed", "##ing"]


def written(folder, *, pooled=False, width=16, pooling="mean"):
    """Writes an encoder whose words of one topic have near vectors: a table, a tanh, pooling."""
    (folder / "onnx").mkdir(parents=True)
    (folder / "1_Pooling").mkdir()
    words = [*FUNCTION_WORDS, *(word for topic in TOPICS.values() for word in topic)]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words, *PIECES]
    tokenizer = Tokenizer(models.WordPiece({p: n for n, p in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    generator = np.random.default_rng(0)
    table = generator.normal(scale=0.1, size=(len(pieces), width)).astype(np.float32)
    for topic in TOPICS.values():
        centre = generator.normal(size=width)
        for word in topic:
            table[pieces.index(word)] = centre + generator.normal(scale=0.3, size=width)
    output = (
        f"float[batch, {width}] sentence_embedding"
        if pooled
        else f"float[batch, steps, {width}] last_hidden_state"
    )
    name = "sentence_embedding = ReduceMean <axes = [1], keepdims = 0> (states)"
    graph = name if pooled else "last_hidden_state = Identity(states)"
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]>'
        "encoder (int64[batch, steps] input_ids, int64[batch, steps] attention_mask)"
        f"=> ({output}) {{ found = Gather(table, input_ids) states = Tanh(found) {graph} }}"
    )
    model.graph.initializer.append(numpy_helper.from_array(table, "table"))
    onnx.save(model, folder / "onnx" / "model.onnx")
    flags = {f"pooling_mode_{mode}": False for mode in ("mean_tokens", "cls_token", "max_tokens")}
    mode = {"mean": "mean_tokens", "cls": "cls_token", "max": "max_tokens"}[pooling]
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps({**flags, f"pooling_mode_{mode}": True})
    )
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 32}))
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n\n# Topics of words\n")
    return folder


@pytest.fixture(scope="session")
def encoder(tmp_path_factory):
    """The folder of the encoder. Not to be changed by a test."""
    return written(tmp_path_factory.mktemp("encoder") / "topics")


@pytest.fixture(scope="session")
def write_encoder():
    """Writes such an encoder to a folder."""
    return written


@pytest.fixture
def safetensors(write_encoder, tmp_path):
    """A BERT of one layer with random weights, with the tokenizer of the encoder in ONNX.

    PyTorch is not among the packages that the tests install, for it takes gigabytes on Linux.
    """
    for package in ("torch", "transformers"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"this machine lacks the Python package {package}")
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    folder = write_encoder(tmp_path / "bert")
    (folder / "onnx" / "model.onnx").unlink()
    size = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    BertModel(BertConfig(vocab_size=55, intermediate_size=16, **size)).save_pretrained(folder)
    return folder


def sentences(words, count, seed):
    """Texts of one topic: function words around two words of it."""
    drawn = random.Random(seed)
    frames = ["i need some {} and {}", "about the {} of my {}", "please {} to a {}"]
    return [drawn.choice(frames).format(*drawn.sample(words, 2)) for _ in range(count)]


@pytest.fixture(scope="session")
def topic_rows():
    """Rows of every topic, of its first words for training or of its other words for testing."""

    def rows(part, count, seed):
        chosen = slice(0, 4) if part == "train" else slice(4, None)
        found = [
            (text, topic)
            for topic, words in TOPICS.items()
            for text in sentences(words[chosen], count, seed)
        ]
        random.Random(seed).shuffle(found)
        return found

    return rows
