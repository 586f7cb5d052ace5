import csv
import json
import re
import subprocess
import sys

import numpy as np
import pytest

import gatewise
from gatewise.service.model.classifier import Classifier
from gatewise.service.model.errors import ModelFolderError
from gatewise.service.model.model_documents import PRECISIONS
from gatewise.training.config import config
from gatewise.training.config.config import ConfigError
from gatewise.training.config.reject_section import RejectConfig
from gatewise.training.data.corpora import Corpora
from gatewise.training.evaluation.evaluate import evaluate
from gatewise.training.fit.progress import Finding, Progress
from gatewise.training.pipeline import train
from gatewise.vocab.corpus.bad_row_policy import BadRowsError, RejectBadRows, StopAtBadRows
from gatewise.vocab.corpus.columns import Columns
from gatewise.vocab.corpus.corpus_reader import open_corpus
from gatewise.vocab.errors import CorpusError
from gatewise.vocab.tokenizer.encoded_rows import encode_rows


def write(path, rows):
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return path


ROWS = [(f"{word} {i}", label) for i in range(20) for word, label in (("good", "+"), ("bad", "-"))]


@pytest.fixture
def corpus(tmp_path):
    return write(tmp_path / "train.csv", ROWS)


def run(corpora, out, config, bad_rows=None):
    bad_rows = bad_rows or StopAtBadRows()
    return train(corpora, out, config, bad_rows, lambda _: None)


def test_it_learns_the_languages(trained):
    result, _ = trained
    assert result.test.rows > 100
    assert result.test.accuracy > 0.9


def test_the_folder_holds_what_the_run_told(trained, small_config):
    result, folder = trained
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["test"]["accuracy"] == result.test.accuracy
    assert metrics["best_epoch"] == result.fitted.best.number
    resolved = {"linear_path": "solved", "refit": False}
    training = small_config.training.model_copy(update=resolved)
    expected = small_config.model_copy(update={"training": training})
    assert metrics["config"] == expected.model_dump(mode="json")
    assert f"{result.test.accuracy:.4f}" in (folder / "README.md").read_text(encoding="utf-8")
    assert Classifier.load(folder).classes_ == ["de", "el", "en", "fr", "ja"]


def test_the_report_is_that_of_the_classifier_that_the_folder_gives(trained, languages):
    result, folder = trained
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    for precision, model in zip(PRECISIONS, metrics["models"], strict=True):
        classifier = Classifier.load(folder, precision=precision)
        rows = open_corpus(languages / "test.csv", Columns()).rows(StopAtBadRows())
        report = evaluate(classifier, encode_rows(classifier.encode, rows))
        assert (model["precision"], model["accuracy"]) == (precision, report.accuracy)
        if precision == "fp32":
            assert report == result.test


def test_the_logits_are_calibrated_on_the_validation_rows(
    languages, trained, tmp_path, small_config
):
    """A run that differs in nothing but its calibration gives the same logits, not divided."""
    result, folder = trained
    corpora = Corpora(languages / "train.csv", languages / "validation.csv", languages / "test.csv")
    off = small_config.training.model_copy(update={"calibration": False})
    plain = run(corpora, tmp_path / "plain", small_config.model_copy(update={"training": off}))
    metrics, others = (
        json.loads((path / "metrics.json").read_text(encoding="utf-8"))
        for path in (folder, tmp_path / "plain")
    )
    found = metrics["calibration"]
    assert others["calibration"] is None
    assert found["temperature"] != 1
    assert found["log_loss_before"] == pytest.approx(plain.validation.log_loss, rel=1e-5)
    assert found["log_loss"] == pytest.approx(result.validation.log_loss, rel=1e-4)
    assert result.validation.log_loss < plain.validation.log_loss
    assert result.validation.accuracy == plain.validation.accuracy
    assert found["ece"] == pytest.approx(metrics["validation"]["ece"], abs=1e-4)
    before, after = Classifier.load(tmp_path / "plain"), Classifier.load(folder)
    texts = ["Where is the station?", "最寄りの駅はどこですか"]
    logits = after.logits(after.encode(texts)) * found["temperature"]
    np.testing.assert_allclose(logits, before.logits(before.encode(texts)), rtol=1e-4, atol=1e-5)


def test_rows_out_of_scope_are_told_from_the_others(languages, tmp_path, small_config):
    """One of the languages is taken for none of them."""
    reject = RejectConfig(out_of_scope="ja", label="none")
    settings = small_config.model_copy(update={"reject": reject})
    corpora = Corpora(languages / "train.csv", languages / "validation.csv", languages / "test.csv")
    result = run(corpora, tmp_path / "model", settings)
    assert result.labels == 4
    assert result.test.accuracy > 0.8
    assert result.test.out_of_scope_recall > 0.7
    classifier = Classifier.load(tmp_path / "model")
    assert classifier.classes_ == ["de", "el", "en", "fr"]
    assert classifier.predict(["有効なアドレスを入力してください。"]) == ["none"]
    assert (classifier.reject.label, classifier.out_of_scope) == ("none", "ja")
    metrics = json.loads((tmp_path / "model" / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["reject"]["chosen"]["threshold"] == classifier.reject.threshold
    # The same figures, from the classifier and from the curve that the threshold was chosen on.
    chosen, validation = metrics["reject"]["chosen"], metrics["validation"]
    for figure in ("answered", "accuracy_answered", "out_of_scope_recall"):
        assert chosen[figure] == validation[figure]
    assert "none" in (tmp_path / "model" / "report.html").read_text(encoding="utf-8")


def test_a_target_is_reached_on_the_validation_rows(trained, languages, tmp_path, small_config):
    reject = RejectConfig(target_precision=0.99)
    settings = small_config.model_copy(update={"reject": reject})
    corpora = Corpora(languages / "train.csv", languages / "validation.csv", languages / "test.csv")
    result = run(corpora, tmp_path / "model", settings)
    assert result.validation.accuracy_answered >= 0.99
    assert 0.5 < result.validation.answered <= 1
    # The network is the one that is trained without it.
    model = tmp_path / "model" / "onnx" / "model.onnx"
    assert model.read_bytes() == (trained[1] / "onnx" / "model.onnx").read_bytes()


def test_without_validation_rows_a_share_is_set_aside(corpus, tmp_path, small_config):
    result = run(Corpora(corpus), tmp_path / "model", small_config)
    assert (result.rows, result.validation.rows, result.test) == (36, 4, None)


def test_few_rows_are_all_learnt_once_everything_is_chosen(corpus, tmp_path, small_config):
    findings = []
    folders = {name: tmp_path / name for name in ("refit", "again", "held_out")}
    for name, out in folders.items():
        training = small_config.training.model_copy(update={"refit": name != "held_out"})
        settings = small_config.model_copy(update={"training": training})
        train(Corpora(corpus), out, settings, StopAtBadRows(), findings.append)
    networks = {
        name: (folder / "onnx" / "model.onnx").read_bytes() for name, folder in folders.items()
    }
    assert networks["refit"] == networks["again"] != networks["held_out"]
    metrics, others = (
        json.loads((folders[name] / "metrics.json").read_text(encoding="utf-8"))
        for name in ("refit", "held_out")
    )
    # The validation rows are those of a network that has not learnt from them.
    for key in ("validation", "epochs", "paths", "calibration"):
        assert metrics[key] == others[key]
    manifests = [
        json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["corpus_sha256"]
        for folder in folders.values()
    ]
    assert manifests[0] == manifests[1] != manifests[2]
    messages = [each.message for each in findings if isinstance(each, Finding)]
    assert sum("trained again on all 40 rows" in message for message in messages) == 2


def test_a_run_stopped_in_its_second_training_resumes_to_the_same_bytes(
    corpus, tmp_path, small_config
):
    ended = []

    def stop_in_the_second(progress):
        if isinstance(progress, Progress):
            if ended and progress.step == 2:
                raise KeyboardInterrupt
            if progress.step == progress.steps:
                ended.append(progress)

    corpora, stopped = Corpora(corpus), tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        train(corpora, stopped, small_config, StopAtBadRows(), stop_in_the_second)
    train(corpora, stopped, small_config, StopAtBadRows(), lambda _: None, resume=True)
    run(corpora, tmp_path / "whole", small_config)
    for name in ("onnx/model.onnx", "config.json", "tokenizer.json"):
        assert (stopped / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    card = (stopped / "README.md").read_text(encoding="utf-8")
    assert "trained on 40 texts" in card
    assert "on 36 rows without the validation rows" in " ".join(card.split())


def test_rows_of_a_validation_corpus_are_not_learnt(corpus, tmp_path, small_config):
    training = small_config.training.model_copy(update={"refit": True})
    settings = small_config.model_copy(update={"training": training})
    with pytest.raises(ConfigError, match="expected validation rows held out"):
        run(Corpora(corpus, corpus), tmp_path / "model", settings)


TIMING = re.compile(rb'<span class="timing">[^<]*</span>')

_TRAIN = """
import sys
from pathlib import Path
from gatewise.training.config import config
from gatewise.training.config.config import ConfigError
from gatewise.training.data.corpora import Corpora
from gatewise.training.evaluation.evaluate import evaluate
from gatewise.training.fit.progress import Finding, Progress
from gatewise.training.pipeline import train
from gatewise.vocab.corpus.bad_row_policy import StopAtBadRows

corpus, out, *assignments = sys.argv[1:]
settings = config.load(assignments=assignments)
train(Corpora(Path(corpus)), Path(out), settings, StopAtBadRows(), lambda _: None)
"""


@pytest.mark.parametrize(("cell", "unit"), [("lstm", "word"), ("gru", "subword")])
def test_the_same_seed_gives_the_same_folder_byte_for_byte(languages, tmp_path, cell, unit):
    """In two processes, so that nothing depends on the order of a hash table."""
    folders = [tmp_path / "first", tmp_path / "second"]
    assignments = [
        *(f"network.cell={cell}", f"tokens.unit={unit}", "network.units=8", "network.buckets=100"),
        *("tokens.max_length=40", "training.epochs=2"),
    ]
    command = [sys.executable, "-c", _TRAIN, languages / "test.csv", folders[0], *assignments]
    subprocess.run(command, check=True, capture_output=True)
    run(Corpora(languages / "test.csv"), folders[1], config.load(assignments=assignments))
    names = sorted(path.relative_to(folders[0]) for path in folders[0].rglob("*.*"))
    assert len(names) == 10
    for name in names:
        first, second = ((folder / name).read_bytes() for folder in folders)
        if name.name == "metrics.json":
            first, second = ({**json.loads(each), "latency": None} for each in (first, second))
        elif name.name == "report.html":
            first, second = (TIMING.sub(b"", each) for each in (first, second))
        elif name.name == "manifest.json":  # has the digests of those two
            first, second = (json.loads(each) for each in (first, second))
            for manifest in (first, second):
                del manifest["files"]["metrics.json"], manifest["files"]["report.html"]
        assert first == second, name


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "holds no rows"),
        ([("a", "x"), ("b", "x")], "at least two different labels.*only 'x'"),
        ([("a", "x"), ("b", "y")], "one row of each: name a validation corpus"),
        ([("a", "x"), ("", "y")], "line 3: the text is missing"),
    ],
)
def test_a_corpus_that_cannot_be_learnt_leaves_nothing(tmp_path, small_config, rows, message):
    corpus = write(tmp_path / "train.csv", rows)
    with pytest.raises(CorpusError, match=message):
        run(Corpora(corpus), tmp_path / "model", small_config)
    assert [path.name for path in tmp_path.iterdir()] == ["train.csv"]


@pytest.mark.parametrize("place", ["validation", "test"])
def test_a_label_that_training_never_saw_is_named(corpus, tmp_path, small_config, place):
    other = write(tmp_path / "other.csv", [("good", "+"), ("so so", "0")])
    with pytest.raises(BadRowsError, match=r"other\.csv: .*line 3: label '0' was never seen"):
        run(Corpora(corpus, **{place: other}), tmp_path / "model", small_config)


def test_bad_rows_are_set_aside_once_each(tmp_path, small_config):
    corpus = write(tmp_path / "train.csv", [*ROWS, ("\x01", "+"), ("", "-")])
    test = write(tmp_path / "test.csv", [("good", "+"), ("bad", "-"), ("so so", "0")])
    with RejectBadRows(tmp_path / "rejects.jsonl") as bad_rows:
        result = run(Corpora(corpus, test=test), tmp_path / "model", small_config, bad_rows)
    rejects = [
        json.loads(line)
        for line in (tmp_path / "rejects.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    places = sorted((reject["file"].rpartition("/")[2], reject["line"]) for reject in rejects)
    assert places == [("test.csv", 4), ("train.csv", 42), ("train.csv", 43)]
    assert result.test.rows == 2
    assert result.rows + result.validation.rows == len(ROWS)


def test_a_taken_place_is_told_before_anything_is_learnt(corpus, tmp_path, small_config):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "novel.txt").write_text("x")
    progress = []
    with pytest.raises(ModelFolderError, match="not overwritten"):
        train(Corpora(corpus), tmp_path / "taken", small_config, StopAtBadRows(), progress.append)
    assert progress == []


def test_validation_rows_that_all_turn_out_empty_are_told(corpus, tmp_path, small_config):
    empty = write(tmp_path / "empty.csv", [("\x01", "+")])
    with (
        RejectBadRows(tmp_path / "rejects.jsonl") as bad_rows,
        pytest.raises(CorpusError, match="validation rows: holds no rows"),
    ):
        run(Corpora(corpus, validation=empty), tmp_path / "model", small_config, bad_rows)


def test_a_label_whose_texts_are_all_empty_is_told(tmp_path, small_config):
    corpus = write(tmp_path / "train.csv", [*ROWS, *[("\x01", "?")] * 4])
    with (
        RejectBadRows(tmp_path / "rejects.jsonl") as bad_rows,
        pytest.raises(CorpusError, match=r"no text of the label '\?' holds a token"),
    ):
        run(Corpora(corpus), tmp_path / "model", small_config, bad_rows)


def test_a_short_run_is_not_held_back_by_the_average_of_its_weights(tmp_path):
    """The average of all updates would be close to the first weights, which know nothing."""
    corpus = write(tmp_path / "train.csv", ROWS * 3)
    settings = config.load(assignments=["network.units=8", "network.buckets=100"])
    result = run(Corpora(corpus, corpus, corpus), tmp_path / "model", settings)
    assert result.test.accuracy == 1
    assert result.test.log_loss < 0.6


_EVERY = ["network.units=8", "network.embedding_size=8", "training.epochs=2"]


def settings_of(folder):
    return json.loads((folder / "config.json").read_text(encoding="utf-8"))["gatewise"]


def test_what_is_left_to_the_rows_is_written_as_it_was_chosen(corpus, tmp_path):
    run(Corpora(corpus), tmp_path / "model", config.load(assignments=_EVERY[:2]))
    written = settings_of(tmp_path / "model")
    metrics = json.loads((tmp_path / "model" / "metrics.json").read_text(encoding="utf-8"))
    assert written["tokens"]["unit"] == "word"
    assert written["network"]["ngrams"] == [1, 2]
    assert written["network"]["buckets"] == 10_000
    assert metrics["config"]["tokens"]["unit"] == "word"
    assert metrics["config"]["training"]["epochs"] == 12
    assert "auto" not in (written["tokens"]["unit"], *map(str, written["network"].values()))


@pytest.mark.parametrize("paths", ["apart", "together"])
def test_paths_are_weighed_where_they_learnt_apart(languages, tmp_path, small_config, paths):
    changes = {"paths": paths, "epochs": 2}
    training = small_config.training.model_copy(update=changes)
    corpora = Corpora(languages / "test.csv", languages / "validation.csv")
    result = run(
        corpora, tmp_path / "model", small_config.model_copy(update={"training": training})
    )
    metrics = json.loads((tmp_path / "model" / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["paths"] == list(result.fitted.paths)
    if paths == "together":
        assert metrics["paths"] == []
    else:
        assert len(metrics["paths"]) == 2
        assert sum(metrics["paths"]) == pytest.approx(2, abs=1e-3)
    # What validation told of the best epoch is what the exported network answers.
    assert result.validation.accuracy == pytest.approx(result.fitted.best.metric)


def test_many_classes_do_not_make_the_table_of_ngrams_large(tmp_path):
    """A weight for each of 2,000 classes in each of 10,000 buckets would be 20 million numbers."""
    import onnx

    classes = 2000
    rows = [(f"order {n} item {n * 7 % classes}", f"label {n}") for n in range(classes)] * 2
    corpus = write(tmp_path / "train.csv", rows)
    settings = config.load(
        assignments=[
            *(*_EVERY[:2], "training.epochs=1", "tokens.unit=word", "network.units=4"),
            "corpus.check=warn",  # two rows a label
        ]
    )
    result = run(Corpora(corpus, corpus), tmp_path / "model", settings)
    network = onnx.load(tmp_path / "model" / "onnx" / "model.onnx")
    sizes = {each.name: list(each.dims) for each in network.graph.initializer}
    assert result.labels == classes
    assert sizes["ngrams.kernel"] == [64, classes]
    buckets = settings_of(tmp_path / "model")["network"]["buckets"]
    assert sizes["ngrams.weight"] == [result.tokens + buckets, 64]
    assert max(np.prod(dims) for dims in sizes.values()) < 5_000_000


def test_every_precision_is_written_and_its_accuracy_told(trained, languages):
    run, folder = trained
    models = json.loads((folder / "metrics.json").read_bytes())["models"]
    assert [model["precision"] for model in models] == ["fp32", "fp16", "int8"]
    assert models[0]["accuracy"] == run.test.accuracy
    with (languages / "test.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    texts, labels = [row["text"] for row in rows], [row["label"] for row in rows]
    for model in models:
        assert model["bytes"] == (folder / model["file"]).stat().st_size
        classifier = Classifier.load(folder, precision=model["precision"])
        right = np.mean([a == b for a, b in zip(classifier.predict(texts), labels, strict=True)])
        assert model["accuracy"] == pytest.approx(right)


def test_a_network_that_reads_forward_is_written_a_second_time(forward_model_folder):
    names = {path.name for path in (forward_model_folder / "onnx").iterdir()}
    assert names == {"model.onnx", "model_fp16.onnx", "model_quantized.onnx", "step.onnx"}
    manifest = json.loads((forward_model_folder / "manifest.json").read_text(encoding="utf-8"))
    assert "onnx/step.onnx" in manifest["files"]


def test_a_model_of_windows_learns_from_the_end_of_texts(tmp_path):
    """Which word is last decides; a model of the first window cannot see it."""
    filler = "a b c d e f g h i j k l"
    rows = [
        (f"{filler[: 2 * (n % 10)]} {n} {filler} {word} {word}", label)
        for n in range(40)
        for word, label in (("good", "+"), ("bad", "-"))
    ]
    corpus, test = write(tmp_path / "train.csv", rows), write(tmp_path / "test.csv", rows[::3])
    small = ("network.units=4", "network.buckets=100", "training.epochs=4")
    settings = config.load(
        assignments=[*small, "tokens.unit=word", "tokens.max_length=8", "tokens.windows=4"]
    )
    found = train(
        Corpora(corpus, test=test), tmp_path / "model", settings, StopAtBadRows(), lambda _: None
    )
    assert found.test.accuracy == 1
    assert found.refit_rows == 80
    folder = tmp_path / "model"
    document = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert document["gatewise"]["tokens"]["windows"] == 4
    assert document["max_position_embeddings"] == 8
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "reads up to 4 windows of 8 word tokens" in card
    assert "read the first\n8 tokens only" in card
    texts, labels = zip(*rows[::3], strict=True)
    model = gatewise.load(folder)
    assert model.predict(texts) == list(labels)
    lines, output = tmp_path / "texts.jsonl", tmp_path / "scores.jsonl"
    lines.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    model.score(lines, output)
    scored = [json.loads(line)["score"] for line in output.read_text().splitlines()]
    np.testing.assert_array_equal(
        np.array(scored, np.float32), model.predict_proba(texts).max(axis=1)
    )
    assert gatewise.score_texts(texts, str(folder))["score"] == scored
