from dataclasses import replace

import pytest

from gatewise.training.config import config
from gatewise.training.evaluation.calibration import Calibration
from gatewise.training.evaluation.evaluate import LabelMetrics, Report
from gatewise.training.evaluation.rejection import Rejection, RejectionPoint
from gatewise.training.fit.progress import Epoch, Fitted
from gatewise.training.report.model_card import model_card, sentence
from gatewise.training.run_metrics import RunMetrics
from gatewise.vocab.corpus.labels import Labels
from gatewise.vocab.tokenizer.tokenizer import Coverage


@pytest.fixture
def run():
    figures = LabelMetrics("a", 0.5, 0.5, 0.5, 10)
    report = Report(0.75, 0.5, 0.6, 0.0321, 20, (figures,))
    epoch = Epoch(2, 20, 0.5, 0.6, 0.7512, 1e-3)
    fitted = Fitted((replace(epoch, number=1), epoch), epoch, "macro_f1", None, (), 3e-3)
    return RunMetrics(
        rows=1000,
        labels=2,
        tokens=321,
        parameters=54321,
        coverage=Coverage(20, 100, 97),
        fitted=fitted,
        validation=report,
        test=None,
    )


def test_the_card_has_the_calibration_error(run):
    card = model_card(run, Labels(("ham", "spam")), config.Config())
    assert "The expected calibration error on the validation rows is 3.2%.\n" in card
    found = Calibration(1.2345, 20, 0.7, 0.6, 0.0654, 0.0321, (), ())
    card = model_card(run, Labels(("ham", "spam")), config.Config(), found)
    assert "with temperature 1.23 took it from 6.5% to 3.2% on the validation rows." in card


def test_the_card_has_the_rejection_threshold(run):
    labels, point = Labels(("ham", "spam")), RejectionPoint(0.61234, 0.9, 0.97, 0.5)
    rejection = Rejection("none `of` these", "oos", None, True, point, ())
    report = replace(
        run.validation,
        answered=0.912,
        accuracy_answered=0.97,
        out_of_scope_rows=1234,
        out_of_scope_recall=0.654,
    )
    card = model_card(replace(run, validation=report), labels, config.Config(), None, rejection)
    text = " ".join(card.split())
    assert "probability below 0.6123 is answered with ``none `of` these``:" in text
    assert (
        "91.2% of the validation rows get a label, and 97.0% of those answers are correct" in text
    )
    assert "65.4% of the 1,234 rows out of scope are rejected." in text
    assert "out of scope" not in model_card(run, labels, config.Config())


def test_the_card_has_the_model_and_its_metrics(run):
    card = model_card(run, Labels(("ham", "spam")), config.Config())
    assert card.startswith("---\nlibrary_name: gatewise\n")
    assert "Labels: `ham`, `spam`." in card
    assert sentence(run, config.Config()) in card
    assert "predicts one of 2 labels; trained on 1,000 texts." in card
    assert "| validation | 0.7500 | 0.5000 | 0.6000 | 20 |" in card
    assert "covers 97.0% of the" in card
    assert "epoch 2 of\n2, the best by validation macro F1 (0.7512)." in card
    assert "softmax" in card
    assert "| test " not in card


def test_a_multi_label_card_has_micro_f1_and_thresholds(run):
    several = replace(run.validation, micro_f1=0.625)
    run = replace(run, validation=several, test=several)
    card = model_card(run, Labels(("ham", "spam")), config.Config())
    assert "predicts any of 2 labels" in card
    assert "| rows | accuracy | macro F1 | micro F1 | log loss | number of rows |" in card
    assert "| test | 0.7500 | 0.5000 | 0.6250 | 0.6000 | 20 |" in card
    assert "`gatewise.thresholds`" in card
    assert "sigmoid" in card


def test_labels_are_escaped_in_markdown(run):
    card = model_card(run, Labels(("a `b` c", "`", "two\nlines")), config.Config())
    assert "Labels: ``a `b` c``, `` ` ``, `two lines`." in card


def test_of_many_labels_the_first_are_listed(run):
    labels = Labels(tuple(f"label {number:03}" for number in range(150)))
    card = model_card(run, labels, config.Config())
    assert "`label 029` and 120 more." in card
    assert "label 030" not in card
