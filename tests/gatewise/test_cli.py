"""The command as a user meets it: a process with arguments, two streams and an exit code."""

import csv
import json
import subprocess
import sys

import pytest


def write(path, rows, header=("text", "label")):
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


FRENCH = "Veuillez saisir une adresse valide."
GERMAN = "Bitte geben Sie eine gültige Adresse ein."


class TestPredict:
    def test_label_and_score_of_each_text(self, process, model_folder):
        code, stdout, stderr = process("predict", model_folder, FRENCH, GERMAN)
        assert (code, stderr) == (0, "")
        lines = [line.split("\t") for line in stdout.splitlines()]
        assert [text for _, text in lines] == [FRENCH, GERMAN]
        assert [answer.split()[0] for answer, _ in lines] == ["fr", "de"]

    @pytest.mark.parametrize(("top_k", "count"), [(3, 3), (99, 5)])
    def test_json_lines_with_the_best_labels_first(self, gatewise, model_folder, top_k, count):
        code, stdout, _ = gatewise("predict", model_folder, FRENCH, "--top-k", top_k, "--json")
        (line,) = map(json.loads, stdout.splitlines())
        assert (code, line["text"]) == (0, FRENCH)
        scores = [each["score"] for each in line["predictions"]]
        assert line["predictions"][0]["label"] == "fr"
        assert len(scores) == count
        assert scores == sorted(scores, reverse=True)

    def test_dash_reads_the_lines_of_standard_input(self, gatewise, refused, model_folder):
        stdin = f"{FRENCH}\r\n{GERMAN}\n".encode()
        code, stdout, _ = gatewise("predict", model_folder, "-", stdin=stdin)
        assert code == 0
        assert [line.split("\t")[1] for line in stdout.splitlines()] == [FRENCH, GERMAN]
        for stdin, reason in (
            (b"one\n\nthree\n", "line 2 of standard input is empty"),
            (b"one\n\xff\n", "line 2 of standard input: expected UTF-8"),
        ):
            assert refused("predict", model_folder, "-", stdin=stdin).startswith(reason)

    def test_long_text_is_answered_with_a_note_that_it_was_truncated(self, gatewise, model_folder):
        stdin = (GERMAN * 25_000).encode()
        code, stdout, stderr = gatewise("predict", model_folder, "-", "--json", stdin=stdin)
        assert code == 0
        assert json.loads(stdout)["predictions"][0]["label"] == "de"
        assert "longer than the model reads" in stderr

    def test_empty_text_is_refused(self, refused, model_folder):
        assert refused("predict", model_folder, FRENCH, " \t").startswith("text 2 is empty")

    def test_precision_can_be_chosen(self, gatewise, model_folder):
        command = ("predict", model_folder, FRENCH, "--json", "--top-k", 5)
        exact, *others = (
            {each["label"]: each["score"] for each in json.loads(stdout)["predictions"]}
            for _, stdout, _ in (
                gatewise(*command, "--precision", precision)
                for precision in ("fp32", "fp16", "int8")
            )
        )
        for other in others:
            assert exact != other
            assert exact == pytest.approx(other, abs=0.02)
        code, _, stderr = gatewise(*command, "--precision", "int4")
        assert code == 2
        assert "'fp32', 'fp16', 'int8'" in stderr


class TestEvaluate:
    def test_figures_of_the_training_run_as_json_and_as_a_table(self, gatewise, trained, languages):
        run, folder = trained
        code, stdout, _ = gatewise("evaluate", folder, languages / "test.csv", "--json")
        metrics = json.loads(stdout)
        assert code == 0
        for name in ("accuracy", "macro_f1", "rows"):
            assert metrics[name] == getattr(run.test, name)
        code, stdout, _ = gatewise("evaluate", folder, languages / "test.csv")
        assert code == 0
        assert f"accuracy {run.test.accuracy:.4f}" in stdout

    def test_columns_can_be_named(self, gatewise, refused, model_folder, tmp_path):
        corpus = write(tmp_path / "c.csv", [(FRENCH, "fr")], header=("sentence", "language"))
        message = refused("evaluate", model_folder, corpus)
        assert "no column 'text'; the columns are: sentence, language" in message
        assert "--text-column" in message
        named = ("--text-column", "sentence", "--label-column", "language")
        code, stdout, _ = gatewise("evaluate", model_folder, corpus, "--json", *named)
        assert (code, json.loads(stdout)["rows"]) == (0, 1)

    def test_bad_rows_stop_it_or_are_rejected(self, gatewise, refused, model_folder, tmp_path):
        corpus = write(tmp_path / "c.csv", [(FRENCH, "fr"), ("privet", ""), (GERMAN, "de")])
        message = refused("evaluate", model_folder, corpus)
        assert f"{corpus}: 1 bad row: line 3: the label is missing" in message
        rejects = tmp_path / "rejects.jsonl"
        code, stdout, _ = gatewise("evaluate", model_folder, corpus, "--json", "--rejects", rejects)
        assert (code, json.loads(stdout)["rows"]) == (0, 2)
        (reject,) = map(json.loads, rejects.read_text(encoding="utf-8").splitlines())
        assert (reject["line"], reject["content"]) == (3, "privet,")
        write(corpus, [("\x01", "fr")])
        message = refused("evaluate", model_folder, corpus, "--rejects", rejects)
        assert "holds no rows that can be used" in message
        assert len(rejects.read_text().splitlines()) == 1

    def test_labels_that_the_model_lacks_count_as_errors(self, gatewise, model_folder, tmp_path):
        rows = [(FRENCH, "fr"), ("privet", "ru"), (GERMAN, "de"), ("mir", "ru")]
        corpus = write(tmp_path / "c.csv", rows)
        code, stdout, _ = gatewise("evaluate", model_folder, corpus, "--json")
        report = json.loads(stdout)
        assert (code, report["rows"], report["unknown_labels"]) == (0, 4, {"ru": 2})
        assert report["accuracy"] == 0.5
        assert report["macro_f1"] == pytest.approx(sum(e["f1"] for e in report["labels"]) / 3)
        stdout = gatewise("evaluate", model_folder, corpus).stdout
        assert "2 rows with labels that the model lacks count as errors: 1: ru" in stdout

    def test_of_a_folder_of_splits_the_test_rows_count(self, gatewise, model_folder, tmp_path):
        write(tmp_path / "train.csv", [(FRENCH, "fr"), (FRENCH, "fr")])
        write(tmp_path / "test.csv", [(GERMAN, "de")])
        code, stdout, stderr = gatewise("evaluate", model_folder, tmp_path, "--json")
        assert (code, json.loads(stdout)["rows"]) == (0, 1)
        assert "its split test is evaluated, and not train" in stderr


class TestScore:
    def test_rows_have_the_label_and_score_that_predict_gives(
        self, gatewise, model_folder, tmp_path
    ):
        source = write(tmp_path / "in.csv", [(7, FRENCH), (8, GERMAN)], header=("id", "text"))
        out = tmp_path / "out.jsonl"
        code, stdout, stderr = gatewise("score", model_folder, source, "--out", out, "--json")
        assert (code, stderr) == (0, "")
        assert json.loads(stdout)["scored"] == 2
        _, stdout, _ = gatewise("predict", model_folder, FRENCH, GERMAN, "--json")
        predicted = [json.loads(line)["predictions"][0] for line in stdout.splitlines()]
        rows = list(map(json.loads, out.read_text(encoding="utf-8").splitlines()))
        assert [(row["id"], row["label"], row["score"]) for row in rows] == [
            (number, best["label"], best["score"])
            for number, best in zip(("7", "8"), predicted, strict=True)
        ]

    def test_bad_row_stops_it_or_is_rejected(self, gatewise, refused, model_folder, tmp_path):
        source = write(tmp_path / "in.csv", [(FRENCH, 1), ("", 2), (GERMAN, 3)], ("text", "id"))
        out, rejects = tmp_path / "out.csv", tmp_path / "rejects.jsonl"
        assert "line 3: the text is missing" in refused("score", model_folder, source, "--out", out)
        assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]
        code, _, _ = gatewise("score", model_folder, source, "--out", out, "--rejects", rejects)
        assert code == 0
        with out.open(encoding="utf-8", newline="") as file:
            assert [row["id"] for row in csv.DictReader(file)] == ["1", "3"]


class TestTrain:
    SMALL = (
        *("--set", "network.units=4", "--set", "network.buckets=10"),
        *("--set", "training.epochs=1"),
    )
    ROWS = tuple((f"{w} {i}", w) for i in range(20) for w in ("good", "bad"))

    def test_trained_folder_predicts(self, process, gatewise, tmp_path):
        corpus = write(tmp_path / "train.csv", self.ROWS)
        out = tmp_path / "model"
        code, stdout, stderr = process("train", corpus, "--out", out, *self.SMALL)
        assert code == 0, stderr
        assert f"model written to {out}" in stdout
        kinds = (
            "duplicates: ",
            "few-validation-rows: ",
            "epoch 1: loss ",
            "the cost ",
            "trained again ",
        )
        assert all(line.startswith(kinds) for line in stderr.splitlines()), "nor TensorFlow's own"
        for kind in kinds[:3]:
            assert sum(line.startswith(kind) for line in stderr.splitlines()) == 1
        assert "on the same rows: linear baseline 1.0000; always bad: 0.5000" in stdout
        assert gatewise("predict", out, "good 7").code == 0

    @pytest.mark.parametrize(
        ("contents", "message"),
        [
            (b"", "empty"),
            (b"text,label\n", "holds no rows"),
            (b"text,label\na,x\nb,x\n", "at least two different labels"),
            (b"text,class\na,x\n", "no column 'label'; the columns are: text, class"),
            (b'text,label\n"a,x\nb,y\n', "line 2: "),
            (
                b"text,label\n\xc3\xa9\xc3\xa8,x\n\xff,y\n",
                "line 3: column 'text' holds the byte 0xff",
            ),
            (b"text,label\na,x\nb\n", "line 3: expected 2 cells, received 1"),
            (b"text,label\na,x\n,y\nb,\n", "line 3: the text is missing; line 4: the label is"),
        ],
    )
    def test_error_in_the_corpus_is_one_line(self, refused, tmp_path, contents, message):
        corpus = tmp_path / "train.csv"
        corpus.write_bytes(contents)
        line = refused("train", corpus, "--out", tmp_path / "model", *self.SMALL)
        assert message in line
        assert line.startswith(str(corpus))
        assert [path.name for path in tmp_path.iterdir()] == ["train.csv"]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["nowhere.csv", "--out", "m"], "nowhere.csv"),
            (["train.csv", "--out", "m", "--config", "none.toml"], "none.toml"),
            (["train.csv", "--out", "m", "--set", "network.unit=1"], "setting 'network.unit'"),
        ],
    )
    def test_missing_file_or_setting_is_named(self, refused, tmp_path, arguments, message):
        write(tmp_path / "train.csv", self.ROWS)
        assert message in refused("train", *arguments, cwd=tmp_path)


class TestInspect:
    def test_contents_of_the_folder(self, gatewise, model_folder):
        code, stdout, _ = gatewise("inspect", model_folder)
        assert code == 0
        assert "bidirectional lstm, 1 x 16 units" in stdout
        assert "onnx/model.onnx" in stdout
        assert "…" not in stdout, "no digest is cut"
        document = json.loads(gatewise("inspect", model_folder, "--json")[1])
        assert document["config"]["id2label"]["0"] == "de"

    @pytest.mark.parametrize("command", ["inspect", "evaluate", "predict", "score", "serve"])
    def test_foreign_folder_is_refused_by_every_command(self, refused, command, tmp_path):
        arguments = {
            "evaluate": ["c.csv"],
            "predict": ["text"],
            "score": ["c.csv", "--out", "o.csv"],
        }
        message = refused(command, tmp_path, *arguments.get(command, []))
        reason = f"{tmp_path}: not a Gatewise model folder: it holds no manifest.json"
        if command == "serve":
            reason += ", and neither does a folder in it, which would be a version"
        assert message == reason


class TestUsage:
    @pytest.mark.parametrize(
        "arguments", [["train"], ["nonsense"], ["predict", "m", "t", "--top-k", "0"], ["score"]]
    )
    def test_wrong_usage_exits_with_2(self, gatewise, arguments):
        code, stdout, stderr = gatewise(*arguments)
        assert code == 2
        assert stdout == ""
        assert "Usage: " in stderr

    def test_version(self, process):
        from importlib.metadata import version

        assert process("--version") == (0, f"gatewise {version('gatewise')}\n", "")

    def test_reader_that_closes_the_pipe_causes_no_traceback(self, model_folder):
        command = f"{sys.executable} -m gatewise predict {model_folder} - | head -n 1"
        stdin = (FRENCH + "\n").encode() * 20_000
        ended = subprocess.run(["sh", "-c", command], input=stdin, capture_output=True, check=False)
        assert ended.stdout.count(b"\n") == 1
        assert b"Traceback" not in ended.stderr


class TestOutputs:
    @pytest.fixture
    def corpus(self, tmp_path):
        rows = [(FRENCH, "fr"), (GERMAN, "de"), ("", "de")] * 3
        return write(tmp_path / "in.csv", rows)

    @pytest.mark.parametrize(
        "arguments",
        [
            ["score", "MODEL", "in.csv", "--out", "same.jsonl", "--rejects", "same.jsonl"],
            ["score", "MODEL", "in.csv", "--out", "in.csv"],
            ["vocab", "in.csv", "--out", "in.csv"],
            ["vocab", "in.csv", "--out", "v.json", "--rejects", "./v.json"],
            ["train", "in.csv", "--out", "model", "--rejects", "model/rejects.jsonl"],
            ["evaluate", "MODEL", "in.csv", "--rejects", "in.csv"],
        ],
    )
    def test_inputs_are_never_overwritten(self, refused, corpus, model_folder, tmp_path, arguments):
        before = corpus.read_bytes()
        named = [model_folder if each == "MODEL" else each for each in arguments]
        assert "choose another path" in refused(*named, cwd=tmp_path)
        assert corpus.read_bytes() == before
        assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]

    @pytest.mark.parametrize("command", ["--version", "inspect {} --json", "predict {} x"])
    def test_standard_output_on_a_full_disk_is_no_traceback(self, model_folder, command):
        shell = f"{sys.executable} -m gatewise {command.format(model_folder)} >/dev/full"
        ended = subprocess.run(["sh", "-c", shell], capture_output=True, check=False)
        assert ended.returncode != 0
        assert b"Traceback" not in ended.stderr

    def test_closed_streams(self, model_folder):
        predict = f"{sys.executable} -m gatewise predict {model_folder}"
        for shell, code, reason in (
            (f"{predict} hello <&-", 0, b""),
            (f"{predict} - <&-", 1, b"standard input is closed"),
            (f"{predict} hello >&-", 1, b"standard output is closed"),
        ):
            ended = subprocess.run(["sh", "-c", shell], capture_output=True, check=False)
            assert (ended.returncode, reason in ended.stderr) == (code, True), ended.stderr
            assert b"Traceback" not in ended.stderr


@pytest.mark.parametrize("command", ["train", "evaluate", "vocab"])
def test_uri_is_refused_where_only_files_are_read(refused, command, model_folder, tmp_path):
    model = [model_folder] if command == "evaluate" else []
    out = [] if command == "evaluate" else ["--out", tmp_path / "out"]
    message = refused(command, *model, "s3://bucket/corpus.csv", *out)
    assert "s3://bucket/corpus.csv: only gatewise score reads object stores" in message
