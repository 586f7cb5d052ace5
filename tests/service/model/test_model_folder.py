import json
import os
import shutil

import pytest
from pydantic import ValidationError
from tokenizers import Tokenizer

from gatewise.service.model.classifier import Classifier
from gatewise.service.model.errors import ModelFolderError
from gatewise.service.model.model_documents import PRECISIONS, Manifest, ModelConfig
from gatewise.service.model.model_folder import (
    ModelFolder,
    check_target,
    read_model_folder,
    seal_model_folder,
    write_json,
    write_model_folder,
)
from gatewise.vocab.tokenizer.tokenizer import train_tokenizer
from gatewise.vocab.tokenizer.tokenizer_json import serialize_tokenizer


@pytest.fixture
def copy(model_folder, tmp_path):
    """A copy of the trained folder that a test may damage."""
    return shutil.copytree(model_folder, tmp_path / "model")


def reseal(folder):
    """Makes the manifest agree with what was changed, so that nothing but the change is wrong."""
    model = ModelFolder(folder)
    seal_model_folder(model, Manifest.model_validate_json(model.manifest.read_bytes()))


def change_json(path, change):
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document)
    path.write_text(json.dumps(document), encoding="utf-8")


def test_folder_is_read_as_it_was_written(model_folder):
    loaded = read_model_folder(model_folder)
    assert loaded.labels.names == ("de", "el", "en", "fr", "ja")
    assert loaded.config.vocab_size == loaded.tokenizer.get_vocab_size()
    assert loaded.manifest.seed == 1
    assert "LSTM" in loaded.manifest.operators
    assert set(loaded.manifest.files) == {
        "README.md",
        "config.json",
        "metrics.json",
        "onnx/model.onnx",
        "onnx/model_fp16.onnx",
        "onnx/model_quantized.onnx",
        "report.html",
        "tokenizer.json",
        "tokenizer_config.json",
    }


def test_folder_has_its_model_in_every_precision(model_folder):
    sizes = []
    for precision in PRECISIONS:
        loaded = read_model_folder(model_folder, precision)
        assert loaded.precision == precision
        assert loaded.model == loaded.model_file.read_bytes()
        sizes.append(len(loaded.model))
    assert sizes == sorted(sizes, reverse=True)
    assert read_model_folder(model_folder).precision == "fp32"


def test_most_exact_precision_is_the_default_and_a_missing_one_is_refused(copy):
    ModelFolder(copy).model.unlink()
    reseal(copy)
    assert read_model_folder(copy).precision == "fp16"
    with pytest.raises(ModelFolderError, match=r"onnx/model\.onnx is not among the listed files"):
        read_model_folder(copy, "fp32")


def test_file_in_place_of_a_folder_is_refused(tmp_path):
    (tmp_path / "model").write_text("x")
    with pytest.raises(ModelFolderError, match="the path is a file"):
        read_model_folder(tmp_path / "model")


ENTRY = {"sha256": "0" * 64, "bytes": 1}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: d.update(format="x"), "manifest.json: format"),
        (lambda d: d.update(format=99, new=1), "format 99, this version"),
        (lambda d: d["files"].update({"a\0b": ENTRY}), r"files\.'a\\x00b'.*printable characters"),
        (lambda d: d.pop("files"), "config.json is not among the listed files"),
        (lambda d: d["files"].update({"../secret": ENTRY}), "is outside the folder"),
        (
            lambda d: d["files"].update({f"file {n}": ENTRY for n in range(2000)}),
            r"manifest.json: files: .* at most 1000 items",
        ),
        (lambda d: d.update(operators=("LSTM",)), "operators are not those of the networks"),
    ],
)
def test_hostile_manifest_is_refused(copy, change, reason):
    change_json(copy / "manifest.json", change)
    with pytest.raises(ModelFolderError, match=reason):
        read_model_folder(copy)


@pytest.mark.parametrize(
    ("file", "change", "reason"),
    [
        (
            "config.json",
            lambda d: d.update(vocab_size=5),
            "expected 5 tokens by config.json, found",
        ),
        (
            "config.json",
            lambda d: d["gatewise"].update(format=99),
            "format 99, this version .* reads format 2: upgrade with pip",
        ),
        (
            "config.json",
            lambda d: d["gatewise"].update(format=1),
            "format 1, this version .* reads format 2: train the model again",
        ),
        ("config.json", lambda d: d["id2label"].update({"0": "zz"}), "contradict"),
        ("config.json", lambda d: d["id2label"].pop("0"), "not 0, 1, 2"),
        ("config.json", lambda d: d.pop("gatewise"), "gatewise: Field required"),
        ("config.json", lambda d: d.update(problem_type="ranking"), "problem_type"),
        (
            "config.json",
            lambda d: (
                d.update(problem_type="regression"),
                d["gatewise"].update(interval={"confidence": 0.9, "half_width": [1.0, 2.0]}),
            ),
            "expected 5 numbers in gatewise.interval.half_width, .* received 2",
        ),
        (
            "tokenizer.json",
            lambda d: d.update(post_processor=None),
            "its post_processor is not as Gatewise writes",
        ),
        (
            "tokenizer.json",
            lambda d: d["model"]["vocab"].update(new=99_999),
            "expected the ids 0, 1, 2",
        ),
        (
            "tokenizer.json",
            lambda d: d["model"]["vocab"].update(new=len(d["model"]["vocab"])),
            "expected .* tokens by config.json, found",
        ),
    ],
)
def test_invalid_document_is_refused(copy, file, change, reason):
    change_json(copy / file, change)
    reseal(copy)
    with pytest.raises(ModelFolderError, match=reason):
        read_model_folder(copy)


def test_folder_is_written_whole_or_not_at_all(tmp_path):
    target = tmp_path / "model"

    def write_half():
        with write_model_folder(target) as folder:
            folder.config.write_text("{}")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert list(tmp_path.iterdir()) == []


def test_earlier_model_is_replaced_only_at_the_end(copy):
    with write_model_folder(copy) as folder:
        folder.config.write_text("new")
        assert read_model_folder(copy).labels.names
    assert (copy / "config.json").read_text() == "new"
    assert not (copy / "manifest.json").exists()
    assert [path.name for path in copy.parent.iterdir()] == ["model"]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (
            lambda folder: (folder / "manifest.json").write_text('{"name": "my app"}'),
            "which is not part",
        ),
        (
            lambda folder: (folder / "notes.txt").write_text("mine"),
            r"notes\.txt, which is not part",
        ),
        # A pipe must not be waited for.
        (lambda folder: replace_by_pipe(folder / "manifest.json"), "which is not part"),
        (lambda folder: (shutil.rmtree(folder), folder.write_text("x")), "it is a file"),
    ],
)
def test_foreign_folder_or_file_is_never_overwritten(copy, make, reason):
    make(copy)
    with pytest.raises(ModelFolderError, match=reason):
        check_target(copy)


def replace_by_pipe(file):
    file.unlink()
    os.mkfifo(file)


def test_failed_replacement_restores_the_earlier_model(copy, monkeypatch):
    rename = type(copy).rename

    def failing(self, target):
        if self.name == "new":
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(type(copy), "rename", failing)
    with (
        pytest.raises(ModelFolderError, match="cannot be written: No space left"),
        write_model_folder(copy) as folder,
    ):
        folder.config.write_text("new")
    monkeypatch.undo()
    assert read_model_folder(copy).labels.names
    assert [path.name for path in copy.parent.iterdir()] == ["model"]


def test_subwords_of_an_earlier_release_are_refused_with_what_to_do(copy):
    tokenizer = train_tokenizer(["learn to learn"] * 2, unit="ngram")
    document = json.loads(serialize_tokenizer(tokenizer))
    for step in document["normalizer"]["normalizers"]:
        pattern = step.get("pattern", {})
        # The mark at the end of a word.
        pattern |= {kind: value.split("|(?<=")[0] for kind, value in pattern.items()}
    path = copy / "tokenizer.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    reseal(copy)
    with pytest.raises(ModelFolderError) as caught:
        read_model_folder(copy)
    assert str(caught.value) == (
        f"{path}: its tokens are Unigram subwords of an earlier release, which this version of "
        "Gatewise does not read: train the model again"
    )


def test_padding_and_truncation_of_a_tokenizer_are_ignored(copy):
    expected = Classifier.load(copy).predict_proba(["Wo ist das?"])
    path = copy / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.enable_padding()
    tokenizer.enable_truncation(3)
    tokenizer.save(str(path))
    reseal(copy)
    beside = Classifier.load(copy).predict_proba(["Wo ist das?", "Wo ist der nächste Bahnhof?"])
    assert (beside[:1] == expected).all()


def test_oversized_file_is_not_read(copy):
    # A sparse file, which takes no space on the disk.
    os.truncate(copy / "config.json", 2**31)
    oversized = {"bytes": 2**31, "sha256": "0" * 64}
    change_json(copy / "manifest.json", lambda d: d["files"]["config.json"].update(oversized))
    with pytest.raises(ModelFolderError, match=r"expected .*at most [\d,]+ bytes"):
        read_model_folder(copy)


def test_link_to_a_file_inside_is_followed(copy):
    (copy / "config.json").rename(copy / "kept.json")
    (copy / "config.json").symlink_to("kept.json")
    assert read_model_folder(copy).labels.names


def test_unused_networks_of_the_folder_are_validated_too(copy):
    shutil.copy(copy / "onnx" / "model.onnx", copy / "onnx" / "model_other.onnx")
    reseal(copy)
    assert read_model_folder(copy).model
    (copy / "onnx" / "model_other.onnx").write_bytes(b"no network")
    reseal(copy)
    with pytest.raises(ModelFolderError, match=r"model_other\.onnx: not an ONNX file"):
        read_model_folder(copy)


def test_zip_predicts_as_its_folder_and_is_not_extracted(copy, tmp_path):
    texts = ["Wo ist das?", "Où est la gare ?"]
    expected = Classifier.load(copy).predict_proba(texts)
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path, "model")
    shutil.rmtree(copy)
    classifier = Classifier.load(packed)
    assert (classifier.predict_proba(texts) == expected).all()
    loaded = classifier.artifact
    assert loaded.folder.config == tmp_path / "packed.zip" / "model" / "config.json"
    assert [path.name for path in tmp_path.iterdir()] == ["packed.zip"]


def test_target_that_cannot_be_written_is_refused_before_the_work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("x")
    for place, reason in (
        (".", "the working directory or a mount"),
        ("file/model", "no folder can be created in"),
    ):
        with pytest.raises(ModelFolderError, match=reason), write_model_folder(place):
            pass


TEXT = "red green blue grey grey grey grey green blue red"


@pytest.mark.parametrize(("keep", "tail"), [(None, 0), ("tail", 7), ("both", 3)], ids=str)
def test_long_text_is_truncated_as_the_config_says(multi_label_folder, tmp_path, keep, tail):
    folder = ModelFolder(shutil.copytree(multi_label_folder, tmp_path / "model"))
    document = json.loads(folder.config.read_bytes())
    tokens = document["gatewise"]["tokens"]
    # Folders of earlier releases lack the key.
    del tokens["keep"]
    if keep is not None:
        tokens["keep"] = keep
    write_json(folder.config, document)
    reseal(folder.path)
    classifier = Classifier.load(folder.path)
    (cut,) = classifier.encode([TEXT])
    words = TEXT.split()
    kept = words[: 7 - tail] + words[len(words) - tail :]
    (whole,) = classifier.encode([" ".join(kept)])
    assert (cut.truncated, whole.truncated) == (True, False)
    assert cut.ids.tolist() == whole.ids.tolist()


@pytest.mark.parametrize(
    ("examples", "reason"),
    [
        ({"klingon": "nuqneH"}, "gatewise.examples has 'klingon', which is none of the labels"),
        ({"de": ""}, "examples.de"),
        ({"de": "x" * 201}, "examples.de"),
    ],
)
def test_invalid_examples_are_refused(model_folder, examples, reason):
    document = json.loads((model_folder / "config.json").read_bytes())
    document["gatewise"]["examples"] = examples
    with pytest.raises(ValidationError, match=reason):
        ModelConfig.model_validate(document)
