"""The command as a user meets it: a process with arguments, two streams and an exit code."""

import csv
import json
import signal
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
    def test_a_label_and_a_score_for_each_text(self, process, model_folder):
        code, stdout, stderr = process("predict", model_folder, FRENCH, GERMAN)
        assert (code, stderr) == (0, "")
        lines = [line.split("\t") for line in stdout.splitlines()]
        assert [text for _, text in lines] == [FRENCH, GERMAN]
        assert [answer.split()[0] for answer, _ in lines] == ["fr", "de"]

    def test_json_lines_with_the_best_labels_first(self, gatewise, model_folder):
        code, stdout, _ = gatewise("predict", model_folder, FRENCH, "--top-k", 3, "--json")
        (line,) = map(json.loads, stdout.splitlines())
        assert code == 0
        assert line["text"] == FRENCH
        scores = [each["score"] for each in line["predictions"]]
        assert line["predictions"][0]["label"] == "fr"
        assert len(scores) == 3
        assert scores == sorted(scores, reverse=True)

    def test_a_dash_reads_the_lines_of_standard_input(self, gatewise, model_folder):
        stdin = f"{FRENCH}\r\n{GERMAN}\n".encode()
        code, stdout, _ = gatewise("predict", model_folder, "-", stdin=stdin)
        assert code == 0
        assert [line.split("\t")[1] for line in stdout.splitlines()] == [FRENCH, GERMAN]

    def test_a_long_text_is_answered_and_told_to_be_cut(self, gatewise, model_folder):
        stdin = (GERMAN * 25_000).encode()
        code, stdout, stderr = gatewise("predict", model_folder, "-", "--json", stdin=stdin)
        assert code == 0
        assert json.loads(stdout)["predictions"][0]["label"] == "de"
        assert "longer than the model reads" in stderr

    @pytest.mark.parametrize("empty", ["", "  \t", "\u200b"])
    def test_an_empty_text_has_no_answer(self, refused, model_folder, empty):
        assert refused("predict", model_folder, FRENCH, empty).startswith("text 2 is empty")

    def test_a_bad_line_of_standard_input_is_named(self, refused, model_folder):
        empty = refused("predict", model_folder, "-", stdin=b"one\n\nthree\n")
        assert empty.startswith("line 2 of standard input is empty")
        broken = refused("predict", model_folder, "-", stdin=b"one\n\xff\n")
        assert broken.startswith("line 2 of standard input: expected UTF-8")

    def test_more_labels_than_there_are_is_all_of_them(self, gatewise, model_folder):
        _, stdout, _ = gatewise("predict", model_folder, FRENCH, "--top-k", 99, "--json")
        assert len(json.loads(stdout)["predictions"]) == 5

    @pytest.mark.parametrize("precision", ["fp16", "int8"])
    def test_another_precision_can_be_asked(self, gatewise, model_folder, precision):
        command = ("predict", model_folder, FRENCH, "--json", "--top-k", 5)
        exact, other = (
            {each["label"]: each["score"] for each in json.loads(stdout)["predictions"]}
            for stdout in (
                gatewise(*command)[1],
                gatewise(*command, "--precision", precision)[1],
            )
        )
        assert exact != other
        assert exact == pytest.approx(other, abs=0.02)

    def test_an_unknown_precision_is_wrong_usage(self, gatewise, model_folder):
        code, _, stderr = gatewise("predict", model_folder, FRENCH, "--precision", "int4")
        assert code == 2
        assert "'fp32', 'fp16', 'int8'" in stderr


class TestEvaluate:
    def test_json_has_the_figures_of_the_run(self, gatewise, trained, languages):
        run, folder = trained
        code, stdout, _ = gatewise("evaluate", folder, languages / "test.csv", "--json")
        figures = json.loads(stdout)
        assert code == 0
        assert figures["accuracy"] == run.test.accuracy
        assert figures["macro_f1"] == run.test.macro_f1
        assert figures["rows"] == run.test.rows

    def test_a_table_for_people(self, gatewise, trained, languages):
        run, folder = trained
        code, stdout, _ = gatewise("evaluate", folder, languages / "test.csv")
        assert code == 0
        assert f"accuracy {run.test.accuracy:.4f}" in stdout

    def test_other_columns_can_be_named(self, gatewise, refused, model_folder, tmp_path):
        corpus = write(tmp_path / "c.csv", [(FRENCH, "fr")], header=("sentence", "language"))
        message = refused("evaluate", model_folder, corpus)
        assert "no column 'text'; the columns are: sentence, language" in message
        assert "--text-column" in message
        named = ("--text-column", "sentence", "--label-column", "language")
        code, stdout, _ = gatewise("evaluate", model_folder, corpus, "--json", *named)
        assert (code, json.loads(stdout)["rows"]) == (0, 1)

    def test_unknown_labels_stop_it_or_are_set_aside(
        self, gatewise, refused, model_folder, tmp_path
    ):
        corpus = write(tmp_path / "c.csv", [(FRENCH, "fr"), ("privet", "ru"), (GERMAN, "de")])
        message = refused("evaluate", model_folder, corpus)
        assert f"{corpus}: 1 bad row: line 3: label 'ru' was never seen in training" in message
        rejects = tmp_path / "rejects.jsonl"
        code, stdout, _ = gatewise("evaluate", model_folder, corpus, "--json", "--rejects", rejects)
        assert (code, json.loads(stdout)["rows"]) == (0, 2)
        (reject,) = map(json.loads, rejects.read_text(encoding="utf-8").splitlines())
        assert (reject["line"], reject["content"]) == (3, "privet,ru")

    def test_rows_that_all_turn_out_empty_are_told(self, refused, model_folder, tmp_path):
        corpus = write(tmp_path / "c.csv", [("\x01", "fr")])
        told = refused("evaluate", model_folder, corpus, "--rejects", tmp_path / "r.jsonl")
        assert "holds no rows that can be used" in told
        assert len((tmp_path / "r.jsonl").read_text().splitlines()) == 1


class TestScore:
    def test_every_row_comes_out_with_its_label(self, gatewise, model_folder, tmp_path):
        source = write(tmp_path / "in.csv", [(7, FRENCH), (8, GERMAN)], header=("id", "text"))
        out = tmp_path / "out.jsonl"
        code, stdout, stderr = gatewise("score", model_folder, source, "--out", out, "--json")
        assert (code, stderr) == (0, "")
        assert json.loads(stdout)["scored"] == 2
        rows = list(map(json.loads, out.read_text(encoding="utf-8").splitlines()))
        assert [(row["id"], row["label"]) for row in rows] == [("7", "fr"), ("8", "de")]

    def test_scores_are_those_of_predict(self, gatewise, model_folder, tmp_path):
        source = write(tmp_path / "in.csv", [(FRENCH,), (GERMAN,)], header=("text",))
        out = tmp_path / "out.jsonl"
        gatewise("score", model_folder, source, "--out", out)
        _, stdout, _ = gatewise("predict", model_folder, FRENCH, GERMAN, "--json")
        predicted = [json.loads(line)["predictions"][0] for line in stdout.splitlines()]
        scored = list(map(json.loads, out.read_text(encoding="utf-8").splitlines()))
        assert [(row["label"], row["score"]) for row in scored] == [
            (row["label"], row["score"]) for row in predicted
        ]

    def test_a_bad_row_stops_it_and_leaves_no_output(
        self, gatewise, refused, model_folder, tmp_path
    ):
        source = write(tmp_path / "in.csv", [(FRENCH, 1), ("", 2), (GERMAN, 3)], ("text", "id"))
        out = tmp_path / "out.csv"
        assert "line 3: the text is missing" in refused("score", model_folder, source, "--out", out)
        assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]
        rejects = tmp_path / "rejects.jsonl"
        code, _, _ = gatewise("score", model_folder, source, "--out", out, "--rejects", rejects)
        assert code == 0
        with out.open(encoding="utf-8", newline="") as file:
            assert [row["id"] for row in csv.DictReader(file)] == ["1", "3"]


class TestTrain:
    SMALL = (
        "--set",
        "network.units=4",
        "--set",
        "network.buckets=10",
        "--set",
        "training.epochs=1",
    )

    def rows(self):
        return [(f"{w} {i}", w) for i in range(20) for w in ("good", "bad")]

    def test_a_folder_that_answers(self, process, tmp_path):
        corpus = write(tmp_path / "train.csv", self.rows())
        out = tmp_path / "model"
        code, stdout, stderr = process("train", corpus, "--out", out, *self.SMALL)
        assert code == 0, stderr
        assert f"model written to {out}" in stdout
        kinds = ("duplicates: ", "few-validation-rows: ", "epoch 1: loss ", "the cost ")
        assert all(line.startswith(kinds) for line in stderr.splitlines()), "nor TensorFlow's own"
        for kind in kinds[:3]:
            assert sum(line.startswith(kind) for line in stderr.splitlines()) == 1
        assert "on the same rows: linear baseline 1.0000; always bad: 0.5000" in stdout
        assert process("predict", out, "good 7")[0] == 0

    @pytest.mark.parametrize(
        ("contents", "message"),
        [
            (b"", "empty"),
            (b"text,label\n", "holds no rows"),
            (b"text,label\na,x\nb,x\n", "at least two different labels"),
            (b"text,class\na,x\n", "no column 'label'; the columns are: text, class"),
            (b'text,label\n"a,x\nb,y\n', "line 2: "),
            (b"text,label\na,x\n\xff,y\n", "line 3: column 'text' holds the byte 0xff"),
            (b"text,label\na,x\nb\n", "line 3: expected 2 cells, received 1"),
            (b"text,label\na,x\n,y\nb,\n", "line 3: the text is missing; line 4: the label is"),
        ],
    )
    def test_a_bad_corpus_is_told_in_one_line(self, refused, tmp_path, contents, message):
        corpus = tmp_path / "train.csv"
        corpus.write_bytes(contents)
        told = refused("train", corpus, "--out", tmp_path / "model", *self.SMALL)
        assert message in told
        assert told.startswith(str(corpus))
        assert [path.name for path in tmp_path.iterdir()] == ["train.csv"]

    def test_what_is_missing_is_named(self, refused, tmp_path):
        corpus = write(tmp_path / "train.csv", self.rows())
        assert "nowhere.csv" in refused("train", tmp_path / "nowhere.csv", "--out", tmp_path / "m")
        config = tmp_path / "none.toml"
        assert "none.toml" in refused("train", corpus, "--out", tmp_path / "m", "--config", config)
        told = refused("train", corpus, "--out", tmp_path / "m", "--set", "network.unit=1")
        assert "unknown setting 'network.unit'" in told


class TestVocab:
    def test_a_dictionary_with_its_coverage(self, gatewise, languages, tmp_path):
        from gatewise.vocab.tokenizer.tokenizer_json import parse_tokenizer

        out = tmp_path / "tokenizer.json"
        code, stdout, _ = gatewise(
            *("vocab", languages / "train.csv", "--out", out, "--json"),
            *("--set", "tokens.unit=word", "--set", "tokens.min_frequency=2"),
        )
        told = json.loads(stdout)
        assert code == 0
        assert parse_tokenizer(out.read_bytes()).get_vocab_size() == told["size"]
        assert 0.5 < told["share"] < 1


class TestInspect:
    def test_what_is_in_the_folder(self, gatewise, model_folder):
        code, stdout, _ = gatewise("inspect", model_folder)
        assert code == 0
        assert "bidirectional lstm, 1 x 16 units" in stdout
        assert "onnx/model.onnx" in stdout
        assert "…" not in stdout, "no digest is cut"
        document = json.loads(gatewise("inspect", model_folder, "--json")[1])
        assert document["config"]["id2label"]["0"] == "de"

    @pytest.mark.parametrize("command", ["inspect", "evaluate", "predict", "score", "serve"])
    def test_a_foreign_folder_is_refused_by_every_command(self, refused, command, tmp_path):
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

    def test_the_version(self, process):
        from importlib.metadata import version

        assert process("--version") == (0, f"gatewise {version('gatewise')}\n", "")

    def test_a_reader_that_leaves_early_is_no_error_worth_a_traceback(self, model_folder):
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
    def test_nothing_is_written_over(self, refused, corpus, model_folder, tmp_path, arguments):
        before = corpus.read_bytes()
        named = [model_folder if each == "MODEL" else each for each in arguments]
        assert "choose another path" in refused(*named, cwd=tmp_path)
        assert corpus.read_bytes() == before
        assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]

    @pytest.mark.parametrize(
        "command",
        [
            ["--version"],
            ["inspect", "MODEL"],
            ["inspect", "MODEL", "--json"],
            ["predict", "MODEL", "x"],
        ],
    )
    def test_a_full_disk_behind_standard_output_is_one_line(self, model_folder, command):
        named = [str(model_folder) if each == "MODEL" else each for each in command]
        with open("/dev/full", "wb") as full:
            ended = subprocess.run(
                [sys.executable, "-m", "gatewise", *named],
                stdout=full,
                stderr=subprocess.PIPE,
                check=False,
            )
        assert ended.returncode != 0
        assert b"Traceback" not in ended.stderr

    def test_a_terminated_run_leaves_no_half_written_file(self, model_folder, tmp_path):
        source = write(tmp_path / "in.csv", [(GERMAN * 3, "de")] * 200_000)
        out = tmp_path / "out.csv"
        command = [sys.executable, "-m", "gatewise", "score", model_folder, source, "--out", out]
        with subprocess.Popen(command) as run:
            while not any(path.name.endswith(".partial") for path in tmp_path.iterdir()):
                assert run.poll() is None
            run.terminate()
        assert run.returncode == 128 + signal.SIGTERM
        # On a machine so busy that a second has gone by, what is done is kept for --resume.
        left = {path.name for path in tmp_path.iterdir()} - {".out.csv.partial"}
        assert left == {"in.csv"}

    def test_streams_that_are_closed(self, model_folder):
        predict = f"{sys.executable} -m gatewise predict {model_folder}"
        for shell, code, told in (
            (f"{predict} hello <&-", 0, b""),
            (f"{predict} - <&-", 1, b"standard input is closed"),
            (f"{predict} hello >&-", 1, b"standard output is closed"),
        ):
            ended = subprocess.run(["sh", "-c", shell], capture_output=True, check=False)
            assert (ended.returncode, told in ended.stderr) == (code, True), ended.stderr
            assert b"Traceback" not in ended.stderr


@pytest.mark.parametrize("command", ["train", "evaluate", "vocab"])
def test_a_uri_is_told_from_a_path(refused, command, model_folder, tmp_path):
    model = [model_folder] if command == "evaluate" else []
    out = [] if command == "evaluate" else ["--out", tmp_path / "out"]
    message = refused(command, *model, "s3://bucket/corpus.csv", *out)
    assert "s3://bucket/corpus.csv: only gatewise score reads object stores" in message
