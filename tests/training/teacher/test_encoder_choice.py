"""`teacher.mode`, with fake weights in the place of those that PyTorch trains."""

import re
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from gatewise.training.config import config
from gatewise.training.fit.progress import Finding
from gatewise.training.teacher import encoder_choice
from gatewise.training.teacher.encoder_choice import check_encoder, open_encoder
from gatewise.training.teacher.encoder_folder import read_encoder_folder
from gatewise.training.teacher.fine_tuned_encoder import FineTunedEncoder
from gatewise.training.teacher.frozen_encoder import FrozenEncoder
from gatewise.training.teacher.labeller import Labeller
from gatewise.training.teacher.teacher import LabelledTexts, Lesson, TeacherError, TooLongError
from gatewise.training.teacher.vector_cache import locked


class Tuned:
    """The logits of two labels, by the sum of a text's ids, or the opposite of what it tells."""

    per_token = False

    def __init__(self, sign=1):
        self._sign = sign

    def run(self, inputs):
        even = (inputs["input_ids"] * inputs["attention_mask"]).sum(axis=1) % 2 == 0
        logits = self._sign * np.where(even, 2.0, -2.0)
        return np.stack([logits, -logits], axis=1).astype(np.float32)

    def word_vectors(self):
        return None


@pytest.fixture
def both(encoder, tmp_path):
    """The folder of an encoder with ONNX and (empty) safetensors."""
    folder = shutil.copytree(encoder, tmp_path / "both")
    (folder / "model.safetensors").touch()
    return folder


@pytest.fixture
def texts(both):
    """Texts whose labels only the fake weights know."""
    tokenizer = read_encoder_folder(both).tokenizer
    words = ["bread", "soup", "train", "plane", "bank", "loan", "the", "a", "of", "and", "to", "in"]
    found = [f"{one} {other}" for one in words for other in words]
    even = np.array([sum(tokenizer.encode(text).ids) % 2 == 0 for text in found])
    return LabelledTexts(found, np.stack([even, ~even], axis=1))


@pytest.fixture
def opened(both, texts, tmp_path, monkeypatch):
    """Opens the encoder; returns it and the findings. `fine_tune` is what trains it."""

    def open_it(fine_tune, *assignments, installed=True):
        monkeypatch.setattr(encoder_choice, "find_spec", lambda _: installed or None)
        fake = SimpleNamespace(fine_tune=fine_tune)
        monkeypatch.setitem(sys.modules, "gatewise.training.teacher.fine_tuning", fake)
        reported = []
        with locked(tmp_path / "cache"):
            teacher = open_encoder(
                both,
                config.load(assignments=list(assignments)),
                Lesson(texts, texts, multi_label=False, seed=42),
                tmp_path / "cache",
                reported.append,
            )
        return teacher, [each.message for each in reported if isinstance(each, Finding)]

    return open_it


@pytest.mark.parametrize(
    ("sign", "kind", "message"),
    [
        (1, FineTunedEncoder, r"fine-tuned: .* 100\.0% fine-"),
        (-1, FrozenEncoder, r"frozen: .* 0\.0%"),
    ],
)
def test_auto_takes_the_better_on_the_validation_rows(opened, sign, kind, message):
    teacher, reported = opened(lambda *_, **__: Tuned(sign))
    assert type(teacher) is kind
    assert re.search(message, reported[-1])


def test_an_encoder_that_was_compared_frozen_learns_once(opened, texts, tmp_path, monkeypatch):
    fits, learn = [], FrozenEncoder.learn

    def counted(encoder, *arguments):
        fits.append(encoder)
        learn(encoder, *arguments)

    monkeypatch.setattr(FrozenEncoder, "learn", counted)
    found = []
    for mode in ("auto", "frozen"):
        teacher, _ = opened(lambda *_, **__: Tuned(-1), f"teacher.mode={mode}")
        with locked(tmp_path / "cache"):
            labeller = Labeller([teacher], tmp_path / "cache")
            labeller.learn(texts)
            found.append(labeller.probabilities(texts.texts))
        assert fits == [teacher]
        fits.clear()
    np.testing.assert_array_equal(*found)


def test_the_time_that_fine_tuning_has(opened):
    allowed = []

    def too_long(*_, seconds, **__):
        allowed.append(seconds)
        raise TooLongError("it takes about 9 minutes")

    teacher, reported = opened(too_long)
    assert type(teacher) is FrozenEncoder
    assert "frozen, because it takes about 9 minutes, and 20 minutes are allowed" in reported[-1]
    opened(too_long, "teacher.minutes=5")
    with pytest.raises(TeacherError, match=r"teacher\.minutes=5, .*half.*9 minutes: allow more"):
        opened(too_long, "teacher.mode=fine_tuned", "teacher.minutes=5")
    # Reading the texts, frozen, takes some of it.
    assert 1100 < allowed[0] < 1200
    # Of a limit that is set, half is for labelling.
    assert 100 < allowed[1] < 150
    assert allowed[2] == 150
    assert type(opened(too_long, "teacher.mode=frozen")[0]) is FrozenEncoder


def test_its_probabilities_are_those_of_its_logits(both, texts):
    teacher = FineTunedEncoder(read_encoder_folder(both), Tuned(), "a" * 64, multi_label=True)
    vectors = teacher.vectors(texts.texts)
    assert vectors.shape == (len(texts.texts), 2)
    assert ((teacher.probabilities(vectors) > 0.5) == texts.truth).all()
    np.testing.assert_allclose(teacher.probabilities(vectors).sum(axis=1), 1)
    assert teacher.card.kind == "encoder, fine-tuned"
    assert teacher.similar_words(["bread"]) == {}


def test_what_cannot_be_fine_tuned(encoder, both, monkeypatch):
    tuned = config.load(assignments=["teacher.mode=fine_tuned"])
    with pytest.raises(TeacherError, match=r"ONNX only: set teacher\.mode=frozen"):
        check_encoder(encoder, tuned)
    monkeypatch.setattr(encoder_choice, "find_spec", lambda _: None)
    with pytest.raises(ModuleNotFoundError, match="torch"):
        check_encoder(both, tuned)
    check_encoder(both, config.load())


@pytest.mark.parametrize(
    ("installed", "reason"),
    [(False, "torch is not installed"), (True, "it has no model.safetensors")],
)
def test_auto_is_frozen_where_it_cannot_be_fine_tuned(opened, both, installed, reason):
    if installed:
        (both / "model.safetensors").unlink()
    teacher, reported = opened(None, installed=installed)
    assert type(teacher) is FrozenEncoder
    assert reported == [f"teacher Topics of words: frozen, because {reason}"]


def test_safetensors_need_pytorch_before_rows_are_read(both, monkeypatch):
    monkeypatch.setattr(encoder_choice, "find_spec", lambda name: None if name == "torch" else 1)
    check_encoder(both, config.load())  # by its ONNX
    shutil.rmtree(both / "onnx")
    with pytest.raises(ModuleNotFoundError, match="'torch'"):
        check_encoder(both, config.load())
