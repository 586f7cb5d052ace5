"""What several benchmarks share: reports, timing, corpora, server processes and HTTP requests."""

import json
import sys

import psutil
from typer import Typer
from typer.testing import CliRunner

from benchmarks.lib import corpora, process_usage, request_formats, subprocesses
from benchmarks.lib.report import report
from benchmarks.lib.server_process import running
from gatewise.vocab.corpus.record_stream import open_records


def printed(**options):
    app = Typer()

    @app.command()
    def main(as_json: bool = False):
        rows = [{"what": "predict", "rows": 12345, "ms": 0.0912}, {"what": "explain", "ms": 151.0}]
        report({"latency": rows}, facts={"rounds": 3}, verdicts={"fast": True}, as_json=as_json)

    return CliRunner().invoke(app, ["--as-json"] if options.get("as_json") else []).stdout


def test_a_report_is_a_table_or_json():
    lines = printed().splitlines()
    assert lines[0] == "rounds: 3"
    assert lines[4:8] == [
        "| what | rows | ms |",
        "|---|--:|--:|",
        "| predict | 12,345 | 0.091 |",
        "| explain | – | 151 |",
    ]
    assert lines[-1] == "fast: met"
    document = json.loads(printed(as_json=True))
    assert document["latency"][0]["ms"] == 0.0912
    assert (document["rounds"], document["verdicts"]) == (3, {"fast": True})


def test_a_tenth_of_each_label_validates_where_a_corpus_has_no_validation_rows(corpus):
    whole = corpora.read(corpus)
    split = whole.split(1)
    assert (len(split.train.texts), len(split.validation.texts)) == (108, 12)
    assert sorted((*split.train.texts, *split.validation.texts)) == sorted(whole.train.texts)
    assert split == whole.split(1) != whole.split(2)
    assert split.test == whole.test


def test_a_corpus_is_cut_and_repeated(tmp_path):
    source = tmp_path / "all.csv"
    source.write_text("text,label\n" + "".join(f'"a, {n}",b\n' for n in range(2000)))
    few = corpora.cut(source, tmp_path / "few.csv.gz", 3)
    assert list(corpora.cells(few)) == [["text", "label"], *([f"a, {n}", "b"] for n in range(3))]
    bad = corpora.cut(source, tmp_path / "bad.csv.gz", None, bad=True)
    rows = list(corpora.cells(bad))[1:]
    assert (len(rows), sum(not text for text, *_ in rows)) == (2000, 2)
    assert corpora.repeat([few], tmp_path / "again", 7) == 9
    assert sum(1 for _ in open_records(tmp_path / "again")) == 9


def test_a_server_is_stopped_with_all_that_it_has_started():
    script = (
        "import subprocess, sys, http.server as h;"
        "subprocess.Popen(['sleep', '1000']);"
        "h.HTTPServer(('127.0.0.1', int(sys.argv[1])), h.SimpleHTTPRequestHandler).serve_forever()"
    )

    def command(port):
        return [sys.executable, "-c", script, str(port)]

    with running(command, "/", subprocesses.environment()) as server:
        (_, child) = process_usage.tree(server.pid)
        usage = process_usage.usage(server.pid)
        assert usage.processes == 2
        assert usage.rss >= usage.pss > 0
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_answers_of_every_format_are_read():
    scores = {"ham": 0.75, "spam": 0.25}
    listed = [{"label": label, "score": score} for label, score in scores.items()]
    tensors = [
        {"name": "labels", "data": list(scores)},
        {"name": "scores", "data": list(scores.values())},
    ]
    for read, answer in (
        (request_formats.HUGGING_FACE.scores, listed),
        (request_formats.HUGGING_FACE_LIST.scores, [listed]),
        (request_formats.OPEN_INFERENCE.scores, {"outputs": tensors}),
    ):
        assert read(json.dumps(answer).encode()) == scores
    assert json.loads(request_formats.HUGGING_FACE_LIST.body("é")) == {"inputs": ["é"]}
