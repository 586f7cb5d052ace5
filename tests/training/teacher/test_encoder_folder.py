"""Encoder folders, and the vectors of texts that they give."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from onnx import load, numpy_helper

from gatewise.training.network.vector_files import VectorsError
from gatewise.training.teacher.encoder_folder import read_encoder_folder
from gatewise.training.teacher.teacher import TeacherError
from gatewise.training.teacher.text_encoder import TextEncoder
from gatewise.vocab.errors import GatewiseError


@pytest.fixture
def folder(encoder, tmp_path):
    """A copy of the encoder, to be damaged."""
    return shutil.copytree(encoder, tmp_path / "encoder")


def test_a_folder_tells_its_name_licence_pooling_and_size(encoder):
    found = read_encoder_folder(encoder)
    assert found.card.name == "Topics of words"
    assert found.card.license == "apache-2.0"
    assert found.card.bytes == (encoder / "onnx" / "model.onnx").stat().st_size
    assert (found.pooling, found.pad_id) == ("mean", 0)
    assert found.tokenizer.truncation["max_length"] == 32


def test_another_pooling_is_another_fingerprint(encoder, folder):
    assert read_encoder_folder(folder).fingerprint == read_encoder_folder(encoder).fingerprint
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode": "cls"}')
    assert read_encoder_folder(folder).pooling == "cls"
    assert read_encoder_folder(folder).fingerprint != read_encoder_folder(encoder).fingerprint


def test_another_longest_text_is_another_fingerprint(encoder, folder):
    (folder / "tokenizer_config.json").write_text('{"model_max_length": 16}')
    assert read_encoder_folder(folder).tokenizer.truncation["max_length"] == 16
    assert read_encoder_folder(folder).fingerprint != read_encoder_folder(encoder).fingerprint


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
def test_a_vector_is_pooled_from_the_states_of_its_text_alone(folder, pooling):
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode": pooling}))
    read = read_encoder_folder(folder)
    text = "I need bread and soup"
    table = numpy_helper.to_array(load(folder / "onnx" / "model.onnx").graph.initializer[0])
    states = np.tanh(table[read.tokenizer.encode(text).ids])
    expected = {"mean": states.mean(axis=0), "cls": states[0], "max": states.max(axis=0)}[pooling]
    encoder = TextEncoder(read)
    others = [" ".join(["bread"] * number) for number in range(60)]
    found = encoder.vectors([text, *others])[0]
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected), rtol=1e-5)
    np.testing.assert_array_equal(encoder.vectors([text])[0], found)


def test_an_encoder_may_return_the_vector_of_a_text_itself(write_encoder, tmp_path):
    encoder = TextEncoder(read_encoder_folder(write_encoder(tmp_path / "pooled", pooled=True)))
    assert encoder.vectors(["bread", "train ticket"]).shape == (2, encoder.width)


def remove(name):
    return lambda folder: (folder / name).unlink()


def pickled(folder):
    shutil.rmtree(folder / "onnx")
    (folder / "pytorch_model.bin").write_bytes(b"\x80")


def without_weights(folder):
    shutil.rmtree(folder / "onnx")


def two_poolings(folder):
    flags = {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(flags))


def damaged(folder):
    (folder / "onnx" / "model.onnx").write_bytes(b"no model")


def more_tokens(folder):
    file = folder / "tokenizer.json"
    document = json.loads(file.read_text())
    vocabulary = document["model"]["vocab"]
    vocabulary["added"] = len(vocabulary)
    file.write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove("tokenizer.json"), "tokenizer.json, found none"),
        (lambda folder: (folder / "tokenizer.json").write_text("{}"), "not a tokenizer"),
        (pickled, r"received pytorch_model\.bin, a format that may run code"),
        (without_weights, "expected a text encoder .* found neither"),
        (shutil.rmtree, "expected the folder of a teacher, found none"),
        (two_poolings, "expected one pooling of mean, cls, max, received mean, cls"),
        (lambda folder: (folder / "1_Pooling/config.json").write_text("{"), "not valid JSON"),
        (damaged, "onnxruntime cannot load it"),
        (more_tokens, "weights do not fit the tokenizer, whose largest id is 55"),
    ],
)
def test_a_folder_that_cannot_be_used_is_refused_in_one_line(folder, damage, message):
    damage(folder)
    with pytest.raises((TeacherError, VectorsError), match=message) as raised:
        TextEncoder(read_encoder_folder(folder))
    assert isinstance(raised.value, GatewiseError)
    assert str(folder) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_encoder_in_onnx_needs_neither_pytorch_nor_transformers(encoder):
    code = (
        "import sys; from pathlib import Path\n"
        "sys.modules['torch'] = sys.modules['transformers'] = None\n"
        "from gatewise.training.teacher.encoder_folder import read_encoder_folder\n"
        "from gatewise.training.teacher.text_encoder import TextEncoder\n"
        "TextEncoder(read_encoder_folder(Path(sys.argv[1]))).vectors(['bread'])\n"
        "print('tensorflow' in sys.modules)\n"
    )
    command = [sys.executable, "-c", code, str(encoder)]
    ended = subprocess.run(command, check=True, capture_output=True, text=True)
    assert ended.stdout.strip() == "False"
