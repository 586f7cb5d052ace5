"""A run with a teacher, as a user has it: the command, the folder, the report."""

import json

import pytest

from gatewise.training.config import config
from gatewise.training.data.corpora import Corpora
from gatewise.training.fit.progress import Progress
from gatewise.training.pipeline import train
from gatewise.training.teacher.frozen_encoder import FrozenEncoder
from gatewise.training.teacher.text_encoder import TextEncoder
from gatewise.vocab.corpus.bad_row_policy import StopAtBadRows

SETTINGS = [
    *("network.units=8", "training.epochs=6", "corpus.duplicates=ignore", "teacher.copies=8"),
    "tokens.unit=word",
]


def arguments(*settings):
    return [part for setting in (*SETTINGS, *settings) for part in ("--set", setting)]


@pytest.fixture(scope="module")
def corpora(write_csv, topic_rows, tmp_path_factory):
    folder = tmp_path_factory.mktemp("topics")
    texts = folder / "texts.txt"
    texts.write_text("\n".join(text for text, _ in topic_rows("test", 8, 3)))
    train = write_csv(folder / "train.csv", topic_rows("train", 10, 1))
    return train, write_csv(folder / "test.csv", topic_rows("test", 10, 2)), texts


def test_a_taught_network_knows_words_that_only_the_teacher_knew(
    gatewise, corpora, encoder, tmp_path, monkeypatch
):
    train, test, texts = corpora
    out = tmp_path / "model"
    command = [
        *("train", train, "--test", test, "--out", out, "--teacher", encoder),
        *("--unlabelled", texts, *arguments()),
    ]
    code, stdout, stderr = gatewise(*command)
    assert code == 0, stderr
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    taught = metrics["teacher"]
    assert metrics["rows"] == 27
    assert taught["texts"] == 27 + taught["copied_texts"] + taught["unlabelled"]["used"]
    assert taught["teacher"]["test"]["accuracy"] > 0.9
    assert taught["student"]["test"]["accuracy"] == metrics["test"]["accuracy"] > 0.7
    # The words of the test rows are in no training row.
    assert taught["untaught"]["test"]["accuracy"] < 0.6
    assert sum(taught["right"].values()) == 30
    assert metrics["config"]["training"]["refit"] is False
    assert metrics["config"]["training"]["linear_path"] == "solved"
    assert metrics["latency"]["teacher"]["texts_per_second"] > 0
    assert "accuracy on the test rows: teacher " in stdout
    assert "unlabelled texts: " in stderr
    assert "teacher: labelling copies: " in stderr
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "`Topics of words`" in card
    assert "licence: apache-2.0" in card
    report = (out / "report.html").read_text(encoding="utf-8")
    assert 'id="teacher"' in report
    assert "Topics of words" in report
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "model.teacher"]
    assert {path.name for path in out.iterdir()} == {
        *("README.md", "config.json", "manifest.json", "metrics.json", "onnx", "report.html"),
        *("tokenizer.json", "tokenizer_config.json"),
    }

    # A later run, of another network, reads no text again but to time the encoder.
    read = []
    vectors = TextEncoder.vectors
    monkeypatch.setattr(
        FrozenEncoder,
        "vectors",
        lambda self, some: read.append(len(some)) or vectors(self, some),
    )
    code, _, stderr = gatewise(*command, *arguments("network.units=4", "teacher.untaught=false"))
    assert code == 0, stderr
    assert read == [1, 1, 1, 30]
    again = json.loads((out / "metrics.json").read_text(encoding="utf-8"))["teacher"]
    assert again["teacher"] == taught["teacher"]
    assert "untaught" not in again


def test_a_run_that_was_stopped_ends_with_the_same_bytes(corpora, encoder, tmp_path):
    settings = config.load(assignments=[*SETTINGS, "teacher.untaught=false"]).taught_by([encoder])
    settings = settings.model_copy(
        update={"training": settings.training.model_copy(update={"epochs": 3})}
    )
    trained = []

    def run(name, stage=None, *, resume=False):
        def on_progress(event):
            if isinstance(event, Progress) and event.stage == stage and event.step > 5:
                raise KeyboardInterrupt

        out = tmp_path / name
        train(Corpora(corpora[0]), out, settings, StopAtBadRows(), on_progress, resume=resume)
        trained.append((out / "onnx" / "model.onnx").read_bytes())

    run("whole")
    for stage in ("teacher: labelling copies", "fitting"):
        with pytest.raises(KeyboardInterrupt):
            run("stopped", stage, resume=True)
    run("stopped", resume=True)
    assert trained[0] == trained[1]


def test_an_endpoint_teaches_and_is_compared(gatewise, corpora, endpoint, topic_rows, tmp_path):
    """Its address stays out of the model folder, and each text is asked for once."""
    words = {"tomato": "food", "tram": "travel"}
    for part in ("train", "test"):
        words |= {
            word: topic
            for text, topic in topic_rows(part, 99, 0)
            for word in text.split()
            if len(word) > 2 and word not in ("need", "some", "and", "about", "the", "please")
        }
    endpoint.answers = lambda text: next(words[word] for word in text.split() if word in words)
    out, unlabelled = tmp_path / "model", tmp_path / "texts.txt"
    unlabelled.write_text("please tomato to a bean\nabout the tram of my bus\n", encoding="utf-8")
    command = ("train", corpora[0], "--test", corpora[1], "--out", out)
    command += ("--teacher", endpoint.url, "--unlabelled", unlabelled)
    settings = arguments("teacher.untaught=false", 'teacher.copies="auto"')
    code, stdout, stderr = gatewise(*command, *settings)
    assert code == 0, stderr
    assert "teacher small: reads the" in stderr
    assert f"{len(endpoint.requests):,} requests, " in stderr
    assert len(set(endpoint.texts)) == len(endpoint.texts)
    assert "accuracy on the test rows: teacher 1.0000, taught" in stdout
    taught = json.loads((out / "metrics.json").read_text(encoding="utf-8"))["teacher"]
    assert taught["teachers"][0]["name"] == "small"
    assert (taught["teacher"]["bytes"], taught["copies"]) == (None, 0)
    assert 'id="teacher"' in (out / "report.html").read_text(encoding="utf-8")
    written = [file.read_bytes() for file in out.rglob("*") if file.is_file()]
    assert not any(endpoint.url.encode() in contents for contents in written)


def test_several_labels_a_text_are_taught(gatewise, write_csv, encoder, tmp_path):
    rows = [
        (f"some {a} and {b}", f"food|{c}" if a != "the" else c)
        for a in ("bread", "soup", "rice", "cake", "the")
        for b, c in (("train", "travel"), ("bank", "money"), ("hotel", "travel"), ("loan", "money"))
    ]
    train = write_csv(tmp_path / "train.csv", rows, ("text", "labels"))
    out = tmp_path / "model"
    code, _, stderr = gatewise(
        "train", train, "--out", out, "--teacher", encoder, *arguments("teacher.untaught=false")
    )
    assert code == 0, stderr
    taught = json.loads((out / "metrics.json").read_text(encoding="utf-8"))["teacher"]
    assert taught["teacher"]["validation"]["micro_f1"] is not None
    assert taught["part"] == "validation"
    assert 'id="teacher"' in (out / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--teacher", "none"], "none: expected the folder of a teacher, found none (--teacher)"),
        (["--unlabelled", "x.txt"], "teacher.unlabelled: expected teacher.folders too"),
        (
            ["--set", "teacher.mode=thawed"],
            "setting teacher.mode: input should be 'auto', 'frozen'",
        ),
    ],
)
def test_what_cannot_be_taught_by_is_refused_before_a_row_is_read(
    refused, corpora, tmp_path, options, message
):
    assert message in refused("train", corpora[0], "--out", tmp_path / "model", *options)
    assert not list(tmp_path.iterdir())


def test_a_search_needs_a_folder_for_what_the_teacher_gave(refused, corpora, encoder, tmp_path):
    folders = f'teacher.folders=["{encoder}"]'
    command = ("tune", corpora[0], "--out", tmp_path / "search", "--set", folders)
    assert "expected teacher.cache too in a search" in refused(*command)
