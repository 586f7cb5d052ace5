"""Fine-tuning a BERT of one layer; it needs PyTorch."""

import importlib.util

import numpy as np
import pytest

from gatewise.training.fit.progress import Finding, Progress
from gatewise.training.teacher.encoder_folder import read_encoder_folder
from gatewise.training.teacher.fine_tuned_encoder import FineTunedEncoder
from gatewise.training.teacher.teacher import LabelledTexts, Lesson, TeacherError, TooLongError

pytestmark = [
    pytest.mark.teacher,
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in ("torch", "transformers")),
        reason="this machine lacks the Python packages torch and transformers",
    ),
]


@pytest.fixture
def rows(topic_rows):
    """Texts of each topic, by the words of which they are told apart."""
    found = topic_rows("train", 30, 1)
    names = sorted({topic for _, topic in found})
    truth = np.array([[topic == name for name in names] for _, topic in found])
    return LabelledTexts([text for text, _ in found], truth)


@pytest.fixture
def tune(safetensors, rows, tmp_path, monkeypatch):
    """Fine-tunes the encoder; returns the weights, `(texts, labels)` logits and the events."""
    from gatewise.training.teacher import fine_tuning

    monkeypatch.setattr(fine_tuning, "_SAVE_SECONDS", 0)
    # Weights that are random, not trained, need a higher rate.
    monkeypatch.setattr(fine_tuning, "_RATE", 3e-3)

    def tuned(
        kept="kept", stop_at=None, *, train=rows, validation=None, multi_label=False, seconds=None
    ):
        (tmp_path / kept).mkdir(exist_ok=True)
        events = []

        def on_progress(event):
            events.append(event)
            if isinstance(event, Progress) and event.step == stop_at:
                raise KeyboardInterrupt

        folder = read_encoder_folder(safetensors, safetensors=True)
        lesson = Lesson(train, validation or train, multi_label, seed=1)
        weights = fine_tuning.fine_tune(folder, lesson, tmp_path / kept, on_progress, seconds)
        teacher = FineTunedEncoder(folder, weights, "a" * 64, multi_label=multi_label)
        return teacher.probabilities(teacher.vectors(train.texts)), events

    return tuned


def test_it_learns_the_labels_and_states_the_time(tune, rows):
    found, events = tune()
    assert (found.argmax(axis=1) == rows.truth.argmax(axis=1)).mean() > 0.95
    (finding,) = [event.message for event in events if isinstance(event, Finding)]
    assert "fine-tuning on 90 texts, at most 67 epochs: about a minute on the" in finding
    updates = [event for event in events if isinstance(event, Progress)]
    assert [event.step for event in updates] == list(range(1, len(updates) + 1))
    assert {event.unit for event in updates} == {"updates"}


def test_a_run_that_was_stopped_ends_as_one_that_was_not(tune, tmp_path):
    found, events = tune()
    with pytest.raises(KeyboardInterrupt):
        tune("stopped", 8)
    assert (tmp_path / "stopped" / "state.pt").is_file()
    resumed, rest = tune("stopped")
    assert next(event.step for event in rest if isinstance(event, Progress)) == 7
    np.testing.assert_array_equal(resumed, found)
    assert sorted(file.name for file in (tmp_path / "stopped").iterdir()) == ["weights.safetensors"]
    again, events = tune("stopped")
    np.testing.assert_array_equal(again, found)
    assert not events


def test_it_stops_when_the_validation_rows_gain_no_more(tune, rows):
    shuffled = LabelledTexts(rows.texts, np.roll(rows.truth, 1, axis=1))
    _, events = tune(validation=shuffled)
    # The best epoch is among the first, and a quarter of 67 epochs more are tried.
    assert max(event.step for event in events if isinstance(event, Progress)) < 3 * 30


def test_several_labels_a_text(tune, rows):
    truth = rows.truth | np.roll(rows.truth, 1, axis=1)
    found, _ = tune(train=LabelledTexts(rows.texts, truth), multi_label=True)
    # With one label a text at most two thirds could be right.
    assert ((found >= 0.5) == truth).mean() > 0.85


def test_what_takes_too_long_ends_after_some_updates(tune, tmp_path):
    with pytest.raises(TooLongError, match="fine-tuning takes about a minute"):
        tune(seconds=0)
    assert not (tmp_path / "kept" / "weights.safetensors").exists()


def test_a_loss_that_is_not_finite_is_refused(tune, monkeypatch):
    import torch

    monkeypatch.setattr(torch.nn.functional, "cross_entropy", lambda *_: torch.tensor(torch.nan))
    with pytest.raises(TeacherError, match="the loss is not finite"):
        tune()


def test_texts_of_one_label_are_to_be_more_alike_than_others():
    import torch

    from gatewise.training.teacher.fine_tuning import _contrastive_loss

    states = torch.tensor([[2.0, 0.0], [1.0, 0.0], [0.0, 3.0], [0.0, 1.0]])
    alike = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    # The cosine with the other text of its label is one, with the two others zero.
    expected = np.log1p(2 * np.exp(-10))
    assert _contrastive_loss(states, alike).item() == pytest.approx(expected, rel=0.01)
    unlike = alike[[0, 2, 1, 3]]
    assert _contrastive_loss(states, unlike).item() == pytest.approx(10 + expected)
    # A text that is alone with its label has nothing to be like, and all labels may be alone.
    assert _contrastive_loss(states[:3], alike[:3]).isfinite()
    assert _contrastive_loss(states, torch.eye(4)) == 0


@pytest.mark.parametrize(("least", "of_few_rows"), [(70, False), (4, True)])
def test_only_few_rows_are_learnt_from_in_pairs(tune, monkeypatch, least, of_few_rows):
    from gatewise.training.teacher import fine_tuning

    monkeypatch.setattr(fine_tuning, "_EPOCHS", least)
    loss, batches = fine_tuning._contrastive_loss, []

    def counted(states, truth):
        batches.append(len(states))
        return loss(states, truth)

    monkeypatch.setattr(fine_tuning, "_contrastive_loss", counted)
    with pytest.raises(KeyboardInterrupt):
        tune(stop_at=3)
    assert bool(batches) == of_few_rows
