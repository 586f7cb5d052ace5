from dataclasses import replace

import numpy as np
import pytest
import yaml

from gatewise.training.config import config
from gatewise.training.evaluation.baselines import Baselines, LinearBaseline
from gatewise.training.evaluation.calibration import Calibration
from gatewise.training.evaluation.evaluate import LabelMetrics, Report
from gatewise.training.evaluation.regression import RegressionReport
from gatewise.training.evaluation.rejection import Rejection, RejectionPoint
from gatewise.training.fit.progress import Epoch, Fitted
from gatewise.training.report.model_card import model_card, sentence
from gatewise.training.run_metrics import RunMetrics
from gatewise.vocab.corpus.labels import Labels
from gatewise.vocab.tokenizer.coverage import Coverage


@pytest.fixture
def run():
    metrics = LabelMetrics("a", 0.5, 0.5, 0.5, 10)
    report = Report(0.75, 0.5, 0.6, 0.0321, 20, (metrics,))
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


def card_of(run, *choices, labels=("ham", "spam")):
    return model_card(run, Labels(tuple(labels)), config.Config(), *choices)


def test_the_card_has_the_calibration_error(run):
    card = card_of(run)
    assert "The expected calibration error on the validation rows is 3.2%.\n" in card
    found = Calibration(1.2345, 20, 0.7, 0.6, 0.0654, 0.0321, (), ())
    card = card_of(run, found)
    assert "with temperature 1.23 took it from 6.5% to 3.2% on the validation rows." in card


def test_the_card_has_the_share_of_words_in_pieces(run):
    covered = "The dictionary covers 97.0% of the tokens of the validation texts"
    assert f"{covered}." in " ".join(card_of(run).split())
    run = replace(run, coverage=Coverage(20, 100, 97, in_pieces=2))
    card = " ".join(card_of(run).split())
    assert f"{covered}; 2.0% are other words, read as pieces." in card


def test_the_card_has_the_rejection_threshold(run):
    point = RejectionPoint(0.61234, 0.9, 0.97, 0.5)
    rejection = Rejection("none `of` these", "oos", None, True, point, ())
    metrics = {"answered": 0.912, "accuracy_answered": 0.97}
    metrics |= {"out_of_scope_rows": 1234, "out_of_scope_recall": 0.654}
    rejecting = replace(run, validation=replace(run.validation, **metrics))
    text = " ".join(card_of(rejecting, None, rejection).split())
    assert "probability below 0.6123 is answered with ``none `of` these``:" in text
    assert (
        "91.2% of the validation rows get a label, and 97.0% of those answers are correct" in text
    )
    assert "65.4% of the 1,234 rows out of scope are rejected." in text
    assert "out of scope" not in card_of(run)


def test_the_card_has_the_model_and_its_metrics(run):
    card = card_of(run)
    assert card.startswith("---\nlibrary_name: gatewise\n")
    assert "Labels: `ham`, `spam`." in card
    assert sentence(run, config.Config()) in card
    assert "predicts one of 2 labels; trained on 1,000 texts." in card
    assert "| validation | 0.7500 | 0.5000 | 0.6000 | 20 |" in card
    assert "covers 97.0% of the" in card
    assert "epoch 2 of\n2, the best by validation macro F1 (0.7512)." in card
    assert "softmax" in card
    assert "| test " not in card


def test_the_card_has_the_interval_and_the_baselines(run):
    labels = Labels(("ham", "spam"))
    card = model_card(run, labels, config.Config())
    assert "the accuracy on validation rows like these is 0.5313 to 0.8881.\n" in card
    found = Baselines(20, ("ham",), 0.6, LinearBaseline(0.7, 0.7, None))
    report = replace(run.validation, labels_without_rows=("spam",))
    run = replace(run, baselines=found, validation=report)
    text = " ".join(model_card(run, labels, config.Config()).split())
    assert "On the same 20 rows, predicting `ham` for every text has an accuracy of 0.6000;" in text
    assert "a linear SVM on TF-IDF features has 0.7000." in text
    assert "No validation row has these labels, so nothing is known of them: `spam`." in text
    run = replace(run, baselines=replace(found, linear=None, why_not="it is too large"))
    card = model_card(run, labels, config.Config())
    assert "a linear SVM on TF-IDF features was not trained: it is too large." in card


def test_the_card_has_a_text_of_each_label(run):
    examples = {"ham": 'a "quoted" \\ text', "spam": "two\nlines `of` \u2028 code \U0001f600"}
    card = card_of(run, None, None, examples)
    _, head, text = card.split("---\n", 2)
    assert yaml.safe_load(head)["widget"] == [
        {"text": text, "example_title": label} for label, text in examples.items()
    ]
    assert "\n- `spam`: ``two lines `of` code \U0001f600``\n" in text
    assert "widget" not in card_of(run)


def test_a_multi_label_card_has_micro_f1_and_thresholds(run):
    several = replace(run.validation, micro_f1=0.625)
    run = replace(run, validation=several, test=several)
    card = card_of(run)
    assert "predicts any of 2 labels" in card
    assert "| rows | accuracy | macro F1 | micro F1 | log loss | number of rows |" in card
    assert "| test | 0.7500 | 0.5000 | 0.6250 | 0.6000 | 20 |" in card
    assert "`gatewise.thresholds`" in card
    assert "sigmoid" in card


def test_labels_are_escaped_in_markdown_and_of_many_the_first_are_listed(run):
    card = card_of(run, labels=("a `b` c", "`", "two\nlines"))
    assert "Labels: ``a `b` c``, `` ` ``, `two lines`." in card
    card = card_of(run, labels=[f"label {number:03}" for number in range(150)])
    assert "`label 029` and 120 more." in card
    assert "label 030" not in card


def test_a_card_of_several_numbers_has_their_rmse_together_without_test_rows(run):
    truth = np.array([[1.0, 10.0], [3.0, 30.0]])
    report = RegressionReport.of(("price", "age"), truth, truth[::-1])
    card = card_of(replace(run, validation=report), labels=("price", "age"))
    assert "| validation, `age` | 20 |" in card
    assert "The model has 2: the RMSE of all numbers together is in standard deviations" in card
