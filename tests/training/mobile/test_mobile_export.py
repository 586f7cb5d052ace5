"""The mobile artifact: its files, its answers, and its test vectors and examples."""

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from benchmarks.lib.javascript import NODE_MODULES, missing_in_node
from gatewise.service.model.classifier import Classifier
from gatewise.service.model.errors import ModelFolderError
from gatewise.service.model.model_folder import (
    ModelFolder,
    read_model_folder,
    seal_model_folder,
    write_json,
)
from gatewise.training.mobile.mobile_export import export_mobile
from gatewise.training.mobile.mobile_folder import zip_of
from gatewise.training.mobile.pruning import PruningPlan
from gatewise.training.mobile.size_search import SizeError
from gatewise.training.mobile.text_model import TokenizerTablesError
from gatewise.training.mobile.variants import VariantBuilder
from gatewise.vocab.corpus.bad_row_policy import StopAtBadRows
from gatewise.vocab.corpus.corpus_reader import Row, read_rows
from gatewise.vocab.corpus.records import Location
from gatewise.vocab.corpus.sequences import as_json
from gatewise.vocab.errors import ArgumentError, GatewiseError
from gatewise.vocab.tokenizer.encoding import pad

JS_PACKAGE = Path(__file__).parents[3] / "packages" / "js"
GERMAN = "Bitte geben Sie eine gültige Adresse ein."


@pytest.fixture(scope="module")
def rows(languages):
    return list(read_rows(languages / "validation.csv", bad_rows=StopAtBadRows()))[::4]


@pytest.fixture(scope="module")
def exported(model_folder, rows, tmp_path_factory):
    """An artifact with a text model, `(Exported, folder)`; not to be changed."""
    out = tmp_path_factory.mktemp("mobile") / "phone"
    options = {"max_size": 45_000, "with_text": True, "rows": lambda _: rows}
    return export_mobile(model_folder, out, **options, on_step=ignore), out


def ignore(*step):
    """Takes a step of the search for a size and does nothing."""


def vectors(folder):
    return json.loads((folder / "test_vectors.json").read_text(encoding="utf-8"))


def files_of(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_folder_and_the_zip_have_every_file(exported):
    result, folder = exported
    examples = ("TextClassifier.kt", "TextClassifier.swift", "classify.mjs", "classify.py")
    models = ("model_quantized.onnx", "model_quantized.ort", "model_text.onnx")
    assert files_of(folder) == {
        *("README.md", "config.json", "manifest.json", "metrics.json", "required_operators.config"),
        *("test_vectors.json", "tokenizer.json", "tokenizer_config.json"),
        *(f"examples/{name}" for name in examples),
        *(f"onnx/{name}" for name in models),
    }
    assert set(read_model_folder(folder).manifest.files) | {"manifest.json"} == files_of(folder)
    assert result.archive == folder.with_name("phone.zip")
    with zipfile.ZipFile(result.archive) as archive:
        assert {name.removeprefix("phone/") for name in archive.namelist()} == files_of(folder)
        for name in archive.namelist():
            assert archive.read(name) == (folder.parent / name).read_bytes()


def test_the_result_describes_the_files(exported, rows):
    result, folder = exported
    carried = ("onnx/model_quantized.onnx", "tokenizer.json", "config.json")
    parts = sum((folder / name).stat().st_size for name in carried)
    assert result.text_model == (folder / "onnx/model_text.onnx").stat().st_size
    assert result.parts == parts
    assert result.size == max(parts, result.text_model)
    assert result.size <= result.limit == 45_000
    assert result.tokens == read_model_folder(folder).config.vocab_size
    answers = np.array(Classifier.load(folder).predict([row.text for row in rows]))
    accuracy = result.steps[-1].accuracy
    assert accuracy == pytest.approx((answers == [row.label for row in rows]).mean())
    assert result.rows == len(rows)
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["export"]
    assert (metrics["size"], metrics["steps"][-1]["accuracy"]) == (result.size, accuracy)
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert f"one file of {result.text_model:,} bytes" in card
    assert f"{parts:,} bytes: the network in ONNX" in card
    assert f"{accuracy:.4f}" in card


def test_every_model_gives_the_answers_of_the_test_vectors(exported):
    _, folder = exported
    document = vectors(folder)
    texts = [vector["text"] for vector in document["vectors"]]
    expected = np.array([vector["scores"] for vector in document["vectors"]], dtype=np.float32)
    assert len(texts) > 50
    assert any(ord(character) > 0xFFFF for text in texts for character in text)
    classifier = Classifier.load(folder)
    assert document["labels"] == classifier.classes_
    assert document["score_function"] == "softmax"
    ids = [encoded.ids.tolist() for encoded in classifier.encode(texts)]
    assert ids == [vector["input_ids"] for vector in document["vectors"]]
    np.testing.assert_allclose(classifier.predict_proba(texts), expected, atol=1e-7)
    session = ort.InferenceSession(folder / "onnx" / "model_text.onnx")
    inputs = {"text": np.array(texts, dtype=object)}
    labels, scores = session.run(["classes", "scores"], inputs)
    assert labels.tolist() == document["labels"]
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    session = ort.InferenceSession(folder / "onnx" / "model_quantized.ort")
    for each, encoded in zip(ids, classifier.encode(texts), strict=True):
        inputs = {"input_ids": np.array([each]), "attention_mask": np.ones((1, len(each)), int)}
        logits = session.run(["logits"], inputs)[0]
        np.testing.assert_allclose(logits, classifier.logits([encoded]), atol=1e-5)


def test_the_operators_of_a_reduced_build_are_those_of_the_models(exported):
    _, folder = exported
    listed = {}
    for line in (folder / "required_operators.config").read_text(encoding="utf-8").splitlines():
        domain, opset, names = line.split(";")
        listed[domain, int(opset)] = set(names.split(","))
    for file in folder.glob("onnx/*.onnx"):
        model = onnx.load(file)
        opsets = {each.domain or "ai.onnx": each.version for each in model.opset_import}
        for node in model.graph.node:
            domain = node.domain or "ai.onnx"
            assert node.op_type in listed[domain, opsets[domain]]


def python_example(folder, *texts):
    command = [sys.executable, "-I", folder / "examples" / "classify.py", *texts]
    return subprocess.run(command, capture_output=True, check=False, cwd=folder.parent)


def test_the_python_example_runs(exported, tmp_path):
    """From a copy elsewhere, and without Gatewise."""
    _, folder = exported
    copy = shutil.copytree(folder, tmp_path / "app")
    assert b"test vectors: all match" in python_example(copy).stdout
    text = "Veuillez saisir une adresse valide."
    answer = python_example(copy, text).stdout.decode().split()[len(text.split())]
    assert answer == Classifier.load(copy).predict([text])[0]
    document = vectors(copy)
    document["vectors"][3]["scores"][0] += 0.01
    (copy / "test_vectors.json").write_text(json.dumps(document), encoding="utf-8")
    assert python_example(copy).returncode == 1


@pytest.mark.parametrize("factor", [1e-6, 1, 1e6])
def test_the_python_example_compares_numbers_by_their_size(scaled_numbers, tmp_path, factor):
    out = tmp_path / "phone"
    export_mobile(scaled_numbers(factor), out, precision="fp32", on_step=ignore)
    proof = python_example(out)
    assert b"test vectors: all match" in proof.stdout, proof.stderr.decode()
    document = vectors(out)
    document["vectors"][3]["scores"][0] *= 1.01
    (out / "test_vectors.json").write_text(json.dumps(document), encoding="utf-8")
    assert python_example(out).returncode == 1


def test_a_smaller_model_has_an_interval_of_its_own_or_none(numbers_run, numbers_corpus, tmp_path):
    _, folder = numbers_run
    rows = list(read_rows(numbers_corpus / "test.csv", bad_rows=StopAtBadRows()))
    options = {"with_text": False, "on_step": ignore}
    original = Classifier.load(folder)
    narrow = VariantBuilder(original.artifact, rows).variant("int8", PruningPlan(width=2))
    smaller = Classifier(narrow.artifact)
    truth = np.array([row.values for row in rows])[:, 0]
    errors = np.abs(smaller.predict([row.text for row in rows]) - truth)
    assert smaller.interval.half_width == pytest.approx(np.sort(errors)[180])  # 0.9 of 201
    assert smaller.interval.half_width > 1.05 * original.interval.half_width
    exported = export_mobile(
        folder, tmp_path / "a", precision="int8", rows=lambda _: rows, **options
    )
    assert exported.without_interval is None
    assert Classifier.load(tmp_path / "a").interval
    exported = export_mobile(folder, tmp_path / "b", precision="int8", **options)
    assert Classifier.load(tmp_path / "b").interval is None
    assert "no validation rows" in exported.without_interval
    card = (tmp_path / "b" / "README.md").read_text(encoding="utf-8")
    assert f"The numbers have no interval: {exported.without_interval}." in card
    export_mobile(folder, tmp_path / "c", precision="fp32", **options)
    assert Classifier.load(tmp_path / "c").interval == original.interval


@pytest.fixture
def exported_sequences(gestures_run, gestures_corpus, tmp_path):
    """An artifact of a model of sequences, `(Exported, folder)`."""
    rows = list(read_rows(gestures_corpus / "test.parquet", bad_rows=StopAtBadRows()))
    out = tmp_path / "phone"
    return export_mobile(gestures_run[1], out, rows=lambda _: rows, on_step=ignore), out


def test_a_model_of_sequences_is_exported_without_a_tokenizer(exported_sequences, gestures):
    result, out = exported_sequences
    assert not [name for name in files_of(out) if "tokenizer" in name or "text" in name]
    assert (result.tokens, result.text_model, result.without_text) == (0, None, None)
    parts = sum(
        (out / name).stat().st_size for name in ("onnx/model_quantized.onnx", "config.json")
    )
    assert result.size == result.parts == parts
    assert result.steps[-1].accuracy > 0.85
    classifier = Classifier.load(out)
    document = vectors(out)
    sequences = [vector["sequence"] for vector in document["vectors"]]
    expected = np.array([vector["scores"] for vector in document["vectors"]], dtype=np.float32)
    np.testing.assert_allclose(classifier.predict_proba(sequences), expected, atol=1e-7)
    # They are of the scale of the training rows, so that they tell networks apart.
    assert len(set(classifier.predict(sequences))) == 3
    assert {min(map(len, sequences)), max(map(len, sequences))} == {1, 513}
    assert all(number is None for step in sequences[0] for number in step)
    session = ort.InferenceSession(out / "onnx" / "model_quantized.ort")
    batch = pad([each.ids for each in classifier.encode(gestures(5, 9)[0])])
    logits = session.run(["logits"], batch.by_name)[0]
    np.testing.assert_allclose(
        logits, classifier.logits(classifier.encode(gestures(5, 9)[0])), atol=1e-4
    )
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "Sequence classifier for devices" in card
    assert "tokenizer" not in card
    for name in ("SequenceClassifier.kt", "SequenceClassifier.swift"):
        program = (out / "examples" / name).read_text(encoding="utf-8")
        assert "input_values" in program
        assert "@" not in program.replace("@Suppress", "")


def test_the_programs_of_a_model_of_sequences_run(exported_sequences, gestures_run, gestures):
    _, out = exported_sequences
    assert b"test vectors: all match" in python_example(out).stdout
    (sequence,), _ = gestures(1, 12)
    answer = python_example(out, as_json(sequence)).stdout.decode().split()[0]
    assert answer == Classifier.load(out).predict([sequence])[0]
    document = vectors(out)
    document["vectors"][3]["scores"][0] += 0.01
    (out / "test_vectors.json").write_text(json.dumps(document), encoding="utf-8")
    assert python_example(out).returncode == 1


@pytest.mark.node
def test_the_javascript_program_of_a_model_of_sequences_runs(exported_sequences, tmp_path):
    if reason := missing_in_node():
        pytest.skip(reason)
    (tmp_path / "node_modules").mkdir()
    for installed in NODE_MODULES.resolve().iterdir():
        (tmp_path / "node_modules" / installed.name).symlink_to(installed)
    (tmp_path / "node_modules" / "gatewise-js").symlink_to(JS_PACKAGE)
    # As installed: a link is otherwise followed to the repository, which has no node_modules.
    command = ["node", "--preserve-symlinks", exported_sequences[1] / "examples" / "classify.mjs"]
    proof = subprocess.run(command, capture_output=True, check=False)
    assert b"test vectors: all match" in proof.stdout, proof.stderr.decode()


def test_what_a_model_of_sequences_has_not_is_refused(gestures_run, tmp_path):
    with pytest.raises(SizeError, match=r"smallest variant .* fewer network\.units or layers$"):
        export_mobile(gestures_run[1], tmp_path / "phone", max_size=1_000, on_step=ignore)
    with pytest.raises(ArgumentError, match="expected a model of texts, received one of sequences"):
        export_mobile(gestures_run[1], tmp_path / "phone", with_text=True, on_step=pytest.fail)
    assert not (tmp_path / "phone").exists()


@pytest.mark.node
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_javascript_example_runs(model_folder, tmp_path, precision):
    if reason := missing_in_node():
        pytest.skip(reason)
    (tmp_path / "node_modules").symlink_to(NODE_MODULES)
    out = tmp_path / "phone"
    export_mobile(model_folder, out, precision=precision, on_step=ignore)
    command = ["node", out / "examples" / "classify.mjs"]
    proof = subprocess.run(command, capture_output=True, check=False)
    assert b"test vectors: all match" in proof.stdout, proof.stderr.decode()
    answer = subprocess.run([*command, GERMAN], capture_output=True, check=True)
    classifier = Classifier.load(out)
    ((label, score),) = classifier.best(classifier.predict_proba([GERMAN])[0])
    assert answer.stdout.decode().splitlines()[1].split() == [label, f"{score:.4f}"]


def test_an_artifact_is_replaced_and_its_bytes_follow_from_the_model(model_folder, tmp_path):
    one, two = (tmp_path / name / "phone" for name in ("one", "two"))
    result = export_mobile(model_folder, one, precision="fp16", with_text=False, on_step=ignore)
    assert [step.accuracy for step in result.steps] == [None]  # without rows
    assert result.text_model is None
    assert read_model_folder(one).precision == "fp16"
    assert "There were no validation rows" in (one / "README.md").read_text(encoding="utf-8")
    assert "input_ids" in (one / "examples" / "TextClassifier.kt").read_text(encoding="utf-8")
    first = result.archive.read_bytes()
    for out in (one, two):
        export_mobile(model_folder, out, on_step=ignore)
    assert read_model_folder(one).precision == "int8"
    assert result.archive.read_bytes() != first
    for name in files_of(one) - {"manifest.json"}:
        if not name.endswith(".ort"):  # which differ from run to run
            assert (one / name).read_bytes() == (two / name).read_bytes(), name


def test_a_multi_label_artifact_uses_the_sigmoid(multi_label_folder, tmp_path):
    out = tmp_path / "phone"
    export_mobile(multi_label_folder, out, with_text=True, on_step=ignore)
    assert vectors(out)["score_function"] == "sigmoid"
    assert python_example(out).returncode == 0
    export_mobile(multi_label_folder, out, with_text=False, on_step=ignore)
    assert "sigmoid(logits)" in (out / "examples" / "TextClassifier.kt").read_text(encoding="utf-8")


def test_a_path_in_use_is_refused_before_any_work(model_folder, tmp_path):
    (tmp_path / "phone.zip").write_text("somebody's own")
    with pytest.raises(
        GatewiseError, match="expected no file or an earlier artifact, found another"
    ):
        export_mobile(model_folder, tmp_path / "phone", on_step=pytest.fail)
    assert (tmp_path / "phone.zip").read_text() == "somebody's own"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("keep")
    with pytest.raises(ModelFolderError, match=r"notes\.txt"):
        export_mobile(model_folder, tmp_path / "other", on_step=pytest.fail)


def test_subwords_are_refused_with_a_text_model(subword_folder, tmp_path):
    out = tmp_path / "phone"
    with pytest.raises(TokenizerTablesError, match="subword"):
        export_mobile(subword_folder, out, with_text=True, on_step=pytest.fail)
    result = export_mobile(subword_folder, out, on_step=ignore)
    assert result.text_model is None
    assert "received subword" in result.without_text
    assert Classifier.load(out).predict(["ein Wort"])


def test_what_was_exported_cannot_be_made_smaller_again(exported, model_folder, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    with pytest.raises(ModelFolderError, match=r"onnx/model\.onnx is not among the listed files"):
        export_mobile(exported[1], second, on_step=pytest.fail)
    export_mobile(model_folder, first, precision="fp32", max_size=80_000, on_step=ignore)
    with pytest.raises(SizeError, match="that was pruned before"):
        export_mobile(first, second, max_size=20_000, on_step=ignore)
    # Its weights can still be stored in fewer bits.
    export_mobile(first, second, precision="int8", on_step=ignore)


def test_rows_out_of_scope_alone_are_refused(rejecting_folder, tmp_path):
    rows = [Row("1 2", (), Location(Path("rows.csv"), 2))]
    with pytest.raises(GatewiseError, match="received only rows out of scope"):
        export_mobile(
            rejecting_folder, tmp_path / "phone", rows=lambda _: rows, on_step=pytest.fail
        )


def test_the_sample_of_rows_is_limited_by_its_tokens(model_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("gatewise.training.mobile.mobile_export.MAX_TOKENS", 1_000)
    rows = [Row(GERMAN * 50, ("de",), Location(Path("rows.csv"), line)) for line in range(100)]
    longest = read_model_folder(model_folder).config.gatewise.tokens.max_length
    result = export_mobile(model_folder, tmp_path / "phone", rows=lambda _: rows, on_step=ignore)
    assert result.rows == 1_000 // longest


def test_the_zip_has_the_name_of_the_folder(model_folder, tmp_path, monkeypatch):
    (tmp_path / "phone.v2" / "inside").mkdir(parents=True)
    assert zip_of(tmp_path / "phone.v2") == tmp_path / "phone.v2.zip"
    monkeypatch.chdir(tmp_path / "phone.v2" / "inside")
    assert zip_of(Path("..")) == tmp_path / "phone.v2.zip"


def test_nothing_is_written_if_the_zip_cannot_be_written(model_folder, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gatewise.training.mobile.mobile_folder._zip", full)
    with pytest.raises(ModelFolderError, match="No space left on device"):
        export_mobile(model_folder, tmp_path / "phone", on_step=ignore)
    assert list(tmp_path.iterdir()) == []


def changed(model_folder, place, change):
    """A copy of a model folder with a changed `config.json`."""
    folder = ModelFolder(shutil.copytree(model_folder, place))
    loaded = read_model_folder(folder.path)
    write_json(folder.config, change(loaded.config).model_dump(mode="json"))
    seal_model_folder(folder, loaded.manifest)
    return folder.path


def test_labels_may_have_any_characters(model_folder, tmp_path):
    labels = sorted(["a`b", "new\nline", 'quo"te\\', "@MODEL@ | 👩\u200d👧", "---\n# x"])
    names = {
        "id2label": dict(enumerate(labels)),
        "label2id": {label: index for index, label in enumerate(labels)},
    }
    odd = changed(model_folder, tmp_path / "odd", lambda config: config.model_copy(update=names))
    out = tmp_path / "phone"
    export_mobile(odd, out, with_text=True, on_step=ignore)
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "``a`b``" in card
    assert "`new line`" in card
    assert vectors(out)["labels"] == labels
    assert python_example(out).returncode == 0


def test_a_model_of_windows_is_refused(model_folder, tmp_path):
    def several(config):
        tokens = config.gatewise.tokens.model_copy(update={"windows": 3})
        return config.model_copy(
            update={"gatewise": config.gatewise.model_copy(update={"tokens": tokens})}
        )

    folder = changed(model_folder, tmp_path / "model", several)
    with pytest.raises(GatewiseError, match=r"reads 3, .* train with tokens\.windows=1"):
        export_mobile(folder, tmp_path / "phone", on_step=ignore)
    assert not (tmp_path / "phone").exists()


@pytest.mark.parametrize("keep", ["tail", "both"])
def test_the_python_example_truncates_like_the_model(model_folder, tmp_path, keep):
    def shorter(config):
        gatewise = config.gatewise
        tokens = gatewise.tokens.model_copy(update={"keep": keep, "max_length": 9})
        gatewise = gatewise.model_copy(update={"tokens": tokens})
        return config.model_copy(update={"gatewise": gatewise, "max_position_embeddings": 9})

    out = tmp_path / "a phone, 2 #1"
    export_mobile(changed(model_folder, tmp_path / "short", shorter), out, on_step=ignore)
    assert any(len(vector["input_ids"]) == 9 for vector in vectors(out)["vectors"])
    ended = python_example(out)
    assert (ended.returncode, ended.stderr) == (0, b"")
