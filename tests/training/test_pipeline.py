import csv
import json
import os
import re
import subprocess
import sys

import numpy as np
import onnx
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
from gatewise.vocab.corpus.bad_row_policy import RejectBadRows, StopAtBadRows
from gatewise.vocab.corpus.columns import Columns
from gatewise.vocab.corpus.corpus_reader import open_corpus
from gatewise.vocab.errors import CorpusError
from gatewise.vocab.tokenizer.encoded_rows import encode_rows
from gatewise.vocab.tokenizer.tokenizer import UNKNOWN_ID

ROWS = [(f"{word} {i}", label) for i in range(20) for word, label in (("good", "+"), ("bad", "-"))]


@pytest.fixture(scope="module")
def corpus(write_csv, tmp_path_factory):
    return write_csv(tmp_path_factory.mktemp("corpus") / "train.csv", ROWS)


def run(corpora, out, config, bad_rows=None):
    bad_rows = bad_rows or StopAtBadRows()
    return train(corpora, out, config, bad_rows, lambda _: None).run


def parts(languages):
    return Corpora(*(languages / f"{name}.csv" for name in ("train", "validation", "test")))


def read_metrics(folder):
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


def digest(folder):
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["corpus_sha256"]


def test_the_folder_has_the_metrics_of_the_run(trained, small_config):
    result, folder = trained
    assert result.test.rows > 100
    assert result.test.accuracy > 0.9
    metrics = read_metrics(folder)
    assert metrics["test"]["accuracy"] == result.test.accuracy
    assert metrics["best_epoch"] == result.fitted.best.number
    resolved = {"linear_path": "solved", "class_weights": "none", "refit": False}
    training = small_config.training.model_copy(update=resolved)
    tokens = small_config.tokens.model_copy(update={"pieces": 0})
    network = small_config.network.model_copy(update={"ngrams": (1, 3, 5, 6)})
    expected = small_config.model_copy(
        update={"training": training, "tokens": tokens, "network": network}
    )
    assert metrics["config"] == expected.model_dump(mode="json")
    assert f"{result.test.accuracy:.4f}" in (folder / "README.md").read_text(encoding="utf-8")
    assert Classifier.load(folder).classes_ == ["de", "el", "en", "fr", "ja"]
    # The two paths have separate losses, and weights in their sum.
    assert metrics["paths"] == list(result.fitted.paths)
    recurrent, linear = metrics["paths"]
    assert 0 < recurrent < linear
    # The exported network has the accuracy that the best epoch was chosen by.
    assert result.validation.accuracy == pytest.approx(result.fitted.best.metric)


def test_the_report_is_that_of_the_folders_classifier_in_every_precision(trained, languages):
    result, folder = trained
    for precision, model in zip(PRECISIONS, read_metrics(folder)["models"], strict=True):
        classifier = Classifier.load(folder, precision=precision)
        rows = open_corpus(languages / "test.csv", Columns()).rows(StopAtBadRows())
        report = evaluate(classifier, encode_rows(classifier.encode, rows))
        assert (model["precision"], model["accuracy"]) == (precision, report.accuracy)
        assert model["bytes"] == (folder / model["file"]).stat().st_size
        if precision == "fp32":
            assert report == result.test


def test_the_logits_are_calibrated_and_a_target_reached_on_the_validation_rows(
    languages, trained, tmp_path, small_config
):
    """A run without calibration and with a target has the same logits, not divided."""
    result, folder = trained
    off = small_config.training.model_copy(update={"calibration": False})
    changes = {"training": off, "reject": RejectConfig(target_precision=0.99)}
    plain = run(parts(languages), tmp_path / "plain", small_config.model_copy(update=changes))
    metrics = read_metrics(folder)
    found = metrics["calibration"]
    assert read_metrics(tmp_path / "plain")["calibration"] is None
    assert found["temperature"] != 1
    assert found["log_loss_before"] == pytest.approx(plain.validation.log_loss, rel=1e-5)
    assert found["log_loss"] == pytest.approx(result.validation.log_loss, rel=1e-4)
    assert result.validation.log_loss < plain.validation.log_loss
    assert found["ece"] == pytest.approx(metrics["validation"]["ece"], abs=1e-4)
    before, after = Classifier.load(tmp_path / "plain"), Classifier.load(folder)
    rows = open_corpus(languages / "validation.csv", Columns()).rows(StopAtBadRows())
    texts = [row.text for row in rows]
    logits = after.logits(after.encode(texts)) * found["temperature"]
    np.testing.assert_allclose(logits, before.logits(before.encode(texts)), rtol=1e-4, atol=1e-5)
    assert plain.validation.accuracy_answered >= 0.99
    assert 0.5 < plain.validation.answered <= 1


def test_rows_out_of_scope_are_rejected(languages, tmp_path, small_config):
    """One of the languages counts as out of scope."""
    reject = RejectConfig(out_of_scope="ja", label="none")
    settings = small_config.model_copy(update={"reject": reject})
    result = run(parts(languages), tmp_path / "model", settings)
    assert result.labels == 4
    assert result.test.accuracy > 0.8
    assert result.test.out_of_scope_recall > 0.7
    classifier = Classifier.load(tmp_path / "model")
    assert classifier.classes_ == ["de", "el", "en", "fr"]
    assert classifier.predict(["有効なアドレスを入力してください。"]) == ["none"]
    assert (classifier.reject.label, classifier.out_of_scope) == ("none", "ja")
    metrics = read_metrics(tmp_path / "model")
    # The same metrics, from the classifier and from the curve that the threshold was chosen on.
    chosen, validation = metrics["reject"]["chosen"], metrics["validation"]
    assert chosen["threshold"] == classifier.reject.threshold
    for name in ("answered", "accuracy_answered", "out_of_scope_recall"):
        assert chosen[name] == validation[name]
    assert "none" in (tmp_path / "model" / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def refitted(corpus, small_config, tmp_path_factory):
    """A model of few rows, and what its training reported. Not to be changed by a test."""
    out, reported = tmp_path_factory.mktemp("refitted") / "model", []
    train(Corpora(corpus), out, small_config, StopAtBadRows(), reported.append)
    return out, reported


def test_few_rows_are_all_learnt_once_everything_is_chosen(
    corpus, refitted, tmp_path, small_config
):
    training = small_config.training.model_copy(update={"refit": False})
    run(Corpora(corpus), tmp_path / "model", small_config.model_copy(update={"training": training}))
    folders = refitted[0], tmp_path / "model"
    networks = [(folder / "onnx" / "model.onnx").read_bytes() for folder in folders]
    assert networks[0] != networks[1]
    metrics, others = map(read_metrics, folders)
    # The validation rows are those of a network that has not learnt from them.
    for key in ("validation", "epochs", "paths", "calibration"):
        assert metrics[key] == others[key]
    assert digest(folders[0]) != digest(folders[1])
    messages = [each.message for each in refitted[1] if isinstance(each, Finding)]
    assert sum("trained again on all 40 rows" in message for message in messages) == 1


def test_a_run_stopped_in_its_second_training_resumes_to_the_same_bytes(
    corpus, refitted, tmp_path, small_config
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
    for name in ("onnx/model.onnx", "config.json", "tokenizer.json"):
        assert (stopped / name).read_bytes() == (refitted[0] / name).read_bytes()
    assert digest(stopped) == digest(refitted[0])
    card = (stopped / "README.md").read_text(encoding="utf-8")
    assert "trained on 40 texts" in card
    assert "on 36 rows without the validation rows" in " ".join(card.split())


def test_words_that_few_rows_lack_are_read_as_pieces(tmp_path, write_csv, small_config):
    endings = ("ed", "ing", "er", "s")
    stems = ("walk", "sing", "paint", "kick", "land", "plant", "rent", "dart", "link", "trap")
    rows = [(f"{stem}{ending} a", ending) for stem in stems for ending in endings]
    corpus = write_csv(tmp_path / "train.csv", rows)
    words = small_config.tokens.model_copy(update={"unit": "word"})
    settings = small_config.model_copy(update={"tokens": words})

    def stop_in_the_second_epoch(progress):
        if isinstance(progress, Progress) and progress.step == 2:
            raise KeyboardInterrupt

    first, second = tmp_path / "first", tmp_path / "second"
    run(Corpora(corpus), first, settings)
    with pytest.raises(KeyboardInterrupt):
        train(Corpora(corpus), second, settings, StopAtBadRows(), stop_in_the_second_epoch)
    train(Corpora(corpus), second, settings, StopAtBadRows(), lambda _: None, resume=True)
    for name in ("onnx/model.onnx", "config.json", "tokenizer.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    metrics = read_metrics(first)
    assert metrics["coverage"]["in_pieces"] > 0
    assert metrics["coverage"]["known"] + metrics["coverage"]["in_pieces"] == 8
    classifier = Classifier.load(first)
    unseen = ["started", "ranking", "printer", "tanks"]
    for text in classifier.encode(unseen):
        assert len(text.ids) > 2
        assert UNKNOWN_ID not in text.ids
    # Each has scores of its own, which unknown words have not.
    assert len({tuple(row) for row in classifier.predict_proba(unseen).tolist()}) == 4
    assert len({tuple(row) for row in classifier.predict_proba(["ö", "é"]).tolist()}) == 1


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
from gatewise.training.data.corpora import Corpora
from gatewise.training.pipeline import train
from gatewise.vocab.corpus.bad_row_policy import StopAtBadRows

corpus, out, *assignments = sys.argv[1:]
settings = config.load(assignments=assignments)
train(Corpora(Path(corpus)), Path(out), settings, StopAtBadRows(), lambda _: None)
"""


def contents_of(folder):
    """The bytes of each file, without the latencies, and without the digests of those two files."""
    contents = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*")}
    contents["metrics.json"] = {**json.loads(contents["metrics.json"]), "latency": None}
    contents["report.html"] = TIMING.sub(b"", contents["report.html"])
    contents["manifest.json"] = json.loads(contents["manifest.json"])
    for name in ("metrics.json", "report.html"):
        del contents["manifest.json"]["files"][name]
    return contents


def test_the_same_seed_gives_the_same_folder_byte_for_byte(
    languages, subword_folder, subword_settings, tmp_path
):
    """In another process, so that nothing depends on the order of a hash table."""
    out = tmp_path / "model"
    command = [sys.executable, "-c", _TRAIN, languages / "test.csv", out, *subword_settings]
    environment = {k: v for k, v in os.environ.items() if k != "TF_NUM_INTRAOP_THREADS"}
    subprocess.run(command, check=True, capture_output=True, env=environment)
    contents, again = contents_of(subword_folder), contents_of(out)
    assert contents.keys() == again.keys()
    assert len(contents) == 10
    for name, content in contents.items():
        assert content == again[name], name


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "holds no rows"),
        ([("a", "x"), ("b", "x")], "at least two different labels.*only 'x'"),
        ([("a", "x"), ("b", "y")], "one row of each: name a validation corpus"),
        ([("a", "x"), ("", "y")], "line 3: the text is missing"),
    ],
)
def test_a_corpus_that_cannot_be_learnt_leaves_nothing(
    tmp_path, write_csv, small_config, rows, message
):
    corpus = write_csv(tmp_path / "train.csv", rows)
    with pytest.raises(CorpusError, match=message):
        run(Corpora(corpus), tmp_path / "model", small_config)
    assert [path.name for path in tmp_path.iterdir()] == ["train.csv"]


def test_a_label_that_training_never_saw_counts_as_an_error(
    corpus, tmp_path, write_csv, small_config
):
    other = write_csv(tmp_path / "other.csv", [("good", "+"), ("so so", "0")])
    found = run(Corpora(corpus, other, other), tmp_path / "model", small_config)
    assert (found.validation.rows, found.validation.unknown_labels) == (1, None)
    assert (found.test.rows, found.test.unknown_labels) == (2, {"0": 1})
    assert found.test.accuracy <= 0.5


def test_a_taken_path_is_refused_before_anything_is_learnt(corpus, tmp_path, small_config):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "novel.txt").write_text("x")
    progress = []
    with pytest.raises(ModelFolderError, match="not overwritten"):
        train(Corpora(corpus), tmp_path / "taken", small_config, StopAtBadRows(), progress.append)
    assert progress == []


def test_validation_rows_without_a_token_are_refused(corpus, tmp_path, write_csv, small_config):
    empty = write_csv(tmp_path / "empty.csv", [("\x01", "+")])
    with (
        RejectBadRows(tmp_path / "rejects.jsonl") as bad_rows,
        pytest.raises(CorpusError, match="validation rows: holds no rows"),
    ):
        run(Corpora(corpus, validation=empty), tmp_path / "model", small_config, bad_rows)


def test_a_label_whose_texts_have_no_token_is_refused(tmp_path, write_csv, small_config):
    corpus = write_csv(tmp_path / "train.csv", [*ROWS, *[("\x01", "?")] * 4])
    with (
        RejectBadRows(tmp_path / "rejects.jsonl") as bad_rows,
        pytest.raises(CorpusError, match=r"no text of the label '\?' holds a token"),
    ):
        run(Corpora(corpus), tmp_path / "model", small_config, bad_rows)


def test_a_short_run_with_bad_rows_and_the_default_settings(tmp_path, write_csv):
    corpus = write_csv(tmp_path / "train.csv", [*ROWS * 3, ("\x01", "+"), ("", "-")])
    test = write_csv(tmp_path / "test.csv", [("good", "+"), ("bad", "-"), ("so so", "0")])
    settings = config.load(assignments=["network.units=8", "network.embedding_size=8"])
    with RejectBadRows(tmp_path / "rejects.jsonl") as bad_rows:
        result = run(Corpora(corpus, test=test), tmp_path / "model", settings, bad_rows)
    lines = (tmp_path / "rejects.jsonl").read_text(encoding="utf-8").splitlines()
    rejects = [json.loads(line) for line in lines]
    # Each bad row is rejected once.
    places = sorted((reject["file"].rpartition("/")[2], reject["line"]) for reject in rejects)
    assert places == [("train.csv", 122), ("train.csv", 123)]
    # A share of the rows is held out for validation.
    assert (result.rows, result.validation.rows, result.test.rows) == (108, 12, 3)
    # The average of all updates of a short run would be close to the first weights. Only the row
    # with a label that training never saw is wrong.
    assert result.test.accuracy == pytest.approx(2 / 3)
    assert result.test.unknown_labels == {"0": 1}
    assert result.test.log_loss < 0.6
    # Settings that are left to the rows are written as they were chosen.
    used = read_metrics(tmp_path / "model")["config"]
    assert (used["tokens"]["unit"], used["training"]["epochs"]) == ("word", 12)
    written = json.loads((tmp_path / "model" / "config.json").read_text("utf-8"))["gatewise"]
    assert written["tokens"]["unit"] == "word"
    assert written["network"]["ngrams"] == [1, 2]
    assert written["network"]["buckets"] == 10_000
    assert "auto" not in map(str, written["network"].values())


def test_many_classes_do_not_make_the_table_of_ngrams_large(tmp_path, write_csv):
    """A weight for each of 500 classes in each of 10,000 buckets would be 5 million numbers."""
    classes = 500
    rows = [(f"order {n} item {n * 7 % classes}", f"label {n}") for n in range(classes)] * 2
    corpus = write_csv(tmp_path / "train.csv", rows)
    settings = config.load(
        assignments=[
            *("training.epochs=1", "tokens.unit=word", "network.units=4"),
            "training.paths=together",
            "corpus.check=warn",  # two rows a label
        ]
    )
    result = run(Corpora(corpus, corpus), tmp_path / "model", settings)
    network = onnx.load(tmp_path / "model" / "onnx" / "model.onnx")
    sizes = {each.name: list(each.dims) for each in network.graph.initializer}
    assert result.labels == classes
    width, _ = sizes["ngrams.kernel"]
    assert sizes["ngrams.weight"] == [result.tokens + 10_000, width]
    assert max(np.prod(dims) for dims in sizes.values()) < 2_000_000
    # With one loss on their sum the paths have no weights.
    assert read_metrics(tmp_path / "model")["paths"] == []


def test_a_network_that_reads_forward_is_written_a_second_time(forward_model_folder):
    names = {path.name for path in (forward_model_folder / "onnx").iterdir()}
    assert names == {"model.onnx", "model_fp16.onnx", "model_quantized.onnx", "step.onnx"}
    manifest = json.loads((forward_model_folder / "manifest.json").read_text(encoding="utf-8"))
    assert "onnx/step.onnx" in manifest["files"]


def test_a_training_text_of_each_label_is_kept_if_the_settings_say_so(
    forward_model_folder, model_folder, languages
):
    config = Classifier.load(forward_model_folder).artifact.config
    with (languages / "train.csv").open(encoding="utf-8", newline="") as file:
        rows = [(row["label"], row["text"]) for row in csv.DictReader(file)]
    assert list(config.gatewise.examples) == list(config.label_names())
    assert set(config.gatewise.examples.items()) <= set(rows)
    text = config.gatewise.examples["en"]
    assert f"\n- `en`: `{text}`\n" in (forward_model_folder / "README.md").read_text("utf-8")
    assert "examples" not in json.loads((model_folder / "config.json").read_bytes())["gatewise"]


def test_a_model_of_windows_learns_from_the_end_of_texts(tmp_path, write_csv):
    """Which word is last decides; a model of the first window cannot see it."""
    filler = "a b c d e f g h i j k l"
    rows = [
        (f"{filler[: 2 * (n % 10)]} {n} {filler} {word} {word}", label)
        for n in range(40)
        for word, label in (("good", "+"), ("bad", "-"))
    ]
    corpus, test = (
        write_csv(tmp_path / name, some)
        for name, some in (("train.csv", rows), ("test.csv", rows[::3]))
    )
    small = ("network.units=4", "network.buckets=100", "training.epochs=4")
    settings = config.load(
        assignments=[*small, "tokens.unit=word", "tokens.max_length=8", "tokens.windows=4"]
    )
    found = train(
        Corpora(corpus, test=test), tmp_path / "model", settings, StopAtBadRows(), lambda _: None
    ).run
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
    model.score_file(lines, output)
    scored = [json.loads(line)["score"] for line in output.read_text().splitlines()]
    np.testing.assert_array_equal(
        np.array(scored, np.float32), model.predict_proba(texts).max(axis=1)
    )
    assert gatewise.score_texts(texts, str(folder))["predicted_score"] == scored
