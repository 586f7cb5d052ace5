import json

from service.classifier import Classifier


def test_it_learns_the_languages(trained):
    run, _ = trained
    assert run.test.rows > 100
    assert run.test.accuracy > 0.9


def test_the_folder_holds_what_the_run_told(trained):
    run, folder = trained
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["test"]["accuracy"] == run.test.accuracy
    assert metrics["best_epoch"] == run.fitted.best.number
    assert Classifier.load(folder).classes_ == ["de", "el", "en", "fr", "ja"]
