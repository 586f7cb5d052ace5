"""The mobile artifact: its files, its answers, and its test vectors and examples."""

import hashlib
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
from gatewise.training.mobile.size_search import SizeError
from gatewise.training.mobile.text_model import TokenizerTablesError
from gatewise.vocab.corpus.bad_row_policy import StopAtBadRows
from gatewise.vocab.corpus.corpus_reader import Row, read_rows
from gatewise.vocab.corpus.records import Location
from gatewise.vocab.errors import GatewiseError

GERMAN = "Bitte geben Sie eine gültige Adresse ein."


@pytest.fixture(scope="module")
def exported(model_folder, languages, tmp_path_factory):
    """An artifact with a text model, `(Exported, folder)`; not to be changed."""
    out = tmp_path_factory.mktemp("mobile") / "phone"

    def rows(_):
        return read_rows(languages / "validation.csv", bad_rows=StopAtBadRows())

    result = export_mobile(
        model_folder, out, max_size=45_000, with_text=True, rows=rows, on_step=lambda _: None
    )
    return result, out


def vectors(folder):
    return json.loads((folder / "test_vectors.json").read_text(encoding="utf-8"))


def test_the_folder_has_every_file(exported):
    _, folder = exported
    assert {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()} == {
        "README.md",
        "config.json",
        "examples/TextClassifier.kt",
        "examples/TextClassifier.swift",
        "examples/classify.mjs",
        "examples/classify.py",
        "manifest.json",
        "metrics.json",
        "onnx/model_quantized.onnx",
        "onnx/model_quantized.ort",
        "onnx/model_text.onnx",
        "required_operators.config",
        "test_vectors.json",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert set(read_model_folder(folder).manifest.files) | {"manifest.json"} == {
        file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()
    }


def test_the_result_describes_the_files(exported):
    result, folder = exported
    carried = ("onnx/model_quantized.onnx", "tokenizer.json", "config.json")
    parts = sum((folder / name).stat().st_size for name in carried)
    assert result.size == max(parts, result.text_model)
    assert result.size <= result.limit == 45_000
    assert result.text_model == (folder / "onnx/model_text.onnx").stat().st_size
    assert result.tokens == read_model_folder(folder).config.vocab_size
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["export"]
    assert metrics["size"] == result.size
    assert metrics["steps"][-1]["accuracy"] == result.steps[-1].accuracy
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert f"{result.size:,} bytes" in card
    assert f"{result.steps[-1].accuracy:.4f}" in card


def test_the_accuracy_is_that_of_the_last_step(exported, languages):
    result, folder = exported
    rows = list(read_rows(languages / "validation.csv", bad_rows=StopAtBadRows()))
    classifier = Classifier.load(folder)
    answers = classifier.predict([row.text for row in rows])
    right = np.mean([answer == row.label for answer, row in zip(answers, rows, strict=True)])
    assert result.steps[-1].accuracy == pytest.approx(right)
    assert result.rows == len(rows)


def test_the_test_vectors_are_the_answers_of_the_classifier(exported):
    _, folder = exported
    classifier = Classifier.load(folder)
    document = vectors(folder)
    assert document["labels"] == classifier.classes_
    assert document["score_function"] == "softmax"
    texts = [vector["text"] for vector in document["vectors"]]
    assert len(texts) > 50
    assert any(ord(character) > 0xFFFF for text in texts for character in text)
    for vector, encoded in zip(document["vectors"], classifier.encode(texts), strict=True):
        assert vector["input_ids"] == encoded.ids.tolist()
    expected = classifier.predict_proba(texts)
    scores = np.array([vector["scores"] for vector in document["vectors"]], dtype=np.float32)
    np.testing.assert_allclose(scores, expected, atol=1e-7)


def test_the_ort_format_gives_the_same_logits(exported):
    _, folder = exported
    file = folder / "onnx" / "model_quantized"
    onnx_session, ort_session = (
        ort.InferenceSession(file.with_suffix(end)) for end in (".onnx", ".ort")
    )
    for vector in vectors(folder)["vectors"]:
        ids = np.array([vector["input_ids"]])
        inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        np.testing.assert_allclose(
            ort_session.run(["logits"], inputs)[0],
            onnx_session.run(["logits"], inputs)[0],
            atol=1e-5,
        )


def test_the_text_model_takes_the_texts_of_the_vectors(exported):
    _, folder = exported
    session = ort.InferenceSession(folder / "onnx" / "model_text.onnx")
    document = vectors(folder)
    texts = np.array([vector["text"] for vector in document["vectors"]], dtype=object)
    labels, scores = session.run(["classes", "scores"], {"text": texts})
    assert labels.tolist() == document["labels"]
    expected = [vector["scores"] for vector in document["vectors"]]
    np.testing.assert_allclose(scores, expected, atol=1e-5)


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


def test_the_zip_is_the_folder(exported):
    result, folder = exported
    assert result.archive == folder.with_name("phone.zip")
    with zipfile.ZipFile(result.archive) as archive:
        for name in archive.namelist():
            assert archive.read(name) == (folder.parent / name).read_bytes()
        names = {name.removeprefix("phone/") for name in archive.namelist()}
    assert names == {
        file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()
    }


def test_the_python_example_runs(exported, tmp_path):
    """From a copy elsewhere, and without Gatewise."""
    _, folder = exported
    copy = shutil.copytree(folder, tmp_path / "app")
    command = [sys.executable, "-I", copy / "examples" / "classify.py"]
    proof = subprocess.run(command, capture_output=True, check=True, cwd=tmp_path)
    assert b"test vectors: all match" in proof.stdout
    text = "Veuillez saisir une adresse valide."
    answer = subprocess.run([*command, text], capture_output=True, check=True, cwd=tmp_path)
    assert (
        answer.stdout.decode().split()[len(text.split())]
        == Classifier.load(copy).predict([text])[0]
    )
    document = vectors(copy)
    document["vectors"][3]["scores"][0] += 0.01
    (copy / "test_vectors.json").write_text(json.dumps(document), encoding="utf-8")
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1


@pytest.mark.node
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_javascript_example_runs(model_folder, tmp_path, precision):
    modules = Path(__file__).parents[2] / "runtimes" / "node_modules"
    if not shutil.which("node") or not (modules / "@huggingface").is_dir():
        pytest.skip(f"there is no node here, or no Transformers.js in {modules}")
    (tmp_path / "node_modules").symlink_to(modules)
    out = tmp_path / "phone"
    export_mobile(model_folder, out, precision=precision, on_step=lambda _: None)
    command = ["node", out / "examples" / "classify.mjs"]
    proof = subprocess.run(command, capture_output=True, check=False)
    assert b"test vectors: all match" in proof.stdout, proof.stderr.decode()
    answer = subprocess.run([*command, GERMAN], capture_output=True, check=True)
    classifier = Classifier.load(out)
    ((label, score),) = classifier.best(classifier.predict_proba([GERMAN])[0])
    assert answer.stdout.decode().splitlines()[1].split() == [label, f"{score:.4f}"]


def test_the_same_model_gives_the_same_bytes_but_for_the_ort_files(model_folder, tmp_path):
    for name in ("one", "two"):
        export_mobile(model_folder, tmp_path / name / "phone", on_step=lambda _: None)
    one, two = (tmp_path / name / "phone" for name in ("one", "two"))
    for file in one.rglob("*"):
        if file.is_file() and file.suffix != ".ort" and file.name != "manifest.json":
            assert file.read_bytes() == (two / file.relative_to(one)).read_bytes(), file


def test_without_rows_the_accuracy_is_unknown(model_folder, tmp_path):
    out = tmp_path / "phone"
    result = export_mobile(model_folder, out, precision="fp16", on_step=lambda _: None)
    assert [step.accuracy for step in result.steps] == [None]
    assert result.text_model is None
    assert read_model_folder(out).precision == "fp16"
    assert "There were no validation rows" in (out / "README.md").read_text(encoding="utf-8")
    kotlin = (out / "examples" / "TextClassifier.kt").read_text(encoding="utf-8")
    assert "input_ids" in kotlin


def test_a_multi_label_artifact_uses_the_sigmoid(multi_label_folder, tmp_path):
    out = tmp_path / "phone"
    export_mobile(multi_label_folder, out, with_text=True, on_step=lambda _: None)
    assert vectors(out)["score_function"] == "sigmoid"
    command = [sys.executable, "-I", out / "examples" / "classify.py"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    export_mobile(multi_label_folder, out, on_step=lambda _: None)
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


def test_an_earlier_artifact_is_replaced(model_folder, tmp_path):
    out = tmp_path / "phone"
    export_mobile(model_folder, out, precision="fp16", on_step=lambda _: None)
    first = hashlib.sha256((tmp_path / "phone.zip").read_bytes()).digest()
    export_mobile(model_folder, out, precision="int8", on_step=lambda _: None)
    assert read_model_folder(out).precision == "int8"
    assert hashlib.sha256((tmp_path / "phone.zip").read_bytes()).digest() != first


def test_an_artifact_in_fewer_bits_cannot_be_exported_again(exported, tmp_path):
    _, folder = exported
    with pytest.raises(ModelFolderError, match=r"onnx/model\.onnx is not among the listed files"):
        export_mobile(folder, tmp_path / "phone", on_step=pytest.fail)


def test_subwords_are_refused_with_a_text_model(tmp_path, languages, small_config):
    from gatewise.training.data.corpora import Corpora
    from gatewise.training.pipeline import train

    config = small_config.model_copy(
        update={
            "tokens": small_config.tokens.model_copy(update={"unit": "subword"}),
            "training": small_config.training.model_copy(update={"epochs": 1}),
        }
    )
    train(
        Corpora(languages / "test.csv"),
        tmp_path / "pieces",
        config,
        StopAtBadRows(),
        lambda _: None,
    )
    with pytest.raises(TokenizerTablesError, match="subword"):
        export_mobile(tmp_path / "pieces", tmp_path / "phone", with_text=True, on_step=pytest.fail)
    export_mobile(tmp_path / "pieces", tmp_path / "phone", on_step=lambda _: None)
    assert Classifier.load(tmp_path / "phone").predict(["ein Wort"])


def test_a_pruned_model_cannot_be_pruned_again(model_folder, tmp_path):
    first = tmp_path / "first"
    export_mobile(model_folder, first, precision="fp32", max_size=80_000, on_step=lambda _: None)
    with pytest.raises(SizeError, match="that was pruned before"):
        export_mobile(first, tmp_path / "second", max_size=20_000, on_step=lambda _: None)
    # Its weights can still be stored in fewer bits.
    export_mobile(first, tmp_path / "second", precision="int8", on_step=lambda _: None)


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
    result = export_mobile(
        model_folder, tmp_path / "phone", rows=lambda _: rows, on_step=lambda _: None
    )
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
        export_mobile(model_folder, tmp_path / "phone", on_step=lambda _: None)
    assert list(tmp_path.iterdir()) == []


def changed(model_folder, place, change):
    """A copy of a model folder with a changed `config.json`."""
    folder = ModelFolder(shutil.copytree(model_folder, place))
    loaded = read_model_folder(folder.path)
    write_json(folder.config, change(loaded.config).model_dump(mode="json"))
    seal_model_folder(folder, loaded.manifest)
    return folder.path


def python_example(folder):
    command = [sys.executable, "-I", folder / "examples" / "classify.py"]
    return subprocess.run(command, capture_output=True, check=False)


def test_labels_may_have_any_characters(model_folder, tmp_path):
    labels = sorted(["a`b", "new\nline", 'quo"te\\', "@MODEL@ | 👩\u200d👧", "---\n# x"])
    names = {
        "id2label": dict(enumerate(labels)),
        "label2id": {label: index for index, label in enumerate(labels)},
    }
    odd = changed(model_folder, tmp_path / "odd", lambda config: config.model_copy(update=names))
    out = tmp_path / "phone"
    export_mobile(odd, out, with_text=True, on_step=lambda _: None)
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "``a`b``" in card
    assert "`new line`" in card
    assert vectors(out)["labels"] == labels
    assert python_example(out).returncode == 0


@pytest.mark.parametrize("keep", ["head", "tail", "both"])
def test_the_python_example_truncates_like_the_model(model_folder, tmp_path, keep):
    def shorter(config):
        gatewise = config.gatewise
        tokens = gatewise.tokens.model_copy(update={"keep": keep, "max_length": 9})
        gatewise = gatewise.model_copy(update={"tokens": tokens})
        return config.model_copy(update={"gatewise": gatewise, "max_position_embeddings": 9})

    out = tmp_path / "a phone, 2 #1"
    export_mobile(changed(model_folder, tmp_path / "short", shorter), out, on_step=lambda _: None)
    assert any(len(vector["input_ids"]) == 9 for vector in vectors(out)["vectors"])
    ended = python_example(out)
    assert (ended.returncode, ended.stderr) == (0, b"")
