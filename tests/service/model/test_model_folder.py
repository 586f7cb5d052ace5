import json
import os
import shutil

import pytest
from gatewise.service.model.classifier import Classifier
from gatewise.service.model.errors import ModelFolderError
from gatewise.service.model.model_config import PRECISIONS, Manifest, ModelFolder
from gatewise.service.model.model_folder import (
    check_target,
    read_model_folder,
    seal_model_folder,
    write_model_folder,
)
from gatewise.vocab.tokenizer.tokenizer import serialize_tokenizer, train_tokenizer
from tokenizers import Tokenizer


@pytest.fixture
def copy(model_folder, tmp_path):
    """A copy of the trained folder that a test may damage."""
    return shutil.copytree(model_folder, tmp_path / "model")


def reseal(folder):
    """Makes the manifest agree with what was changed, so that only the change is at fault."""
    model = ModelFolder(folder)
    seal_model_folder(model, Manifest.model_validate_json(model.manifest.read_bytes()))


def change_json(path, change):
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document)
    path.write_text(json.dumps(document), encoding="utf-8")


def test_a_folder_is_read_as_it_was_written(model_folder):
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


def test_a_folder_has_its_model_in_every_precision(model_folder):
    sizes = []
    for precision in PRECISIONS:
        loaded = read_model_folder(model_folder, precision)
        assert loaded.precision == precision
        assert loaded.model == loaded.model_file.read_bytes()
        sizes.append(len(loaded.model))
    assert sizes == sorted(sizes, reverse=True)
    assert read_model_folder(model_folder).precision == "fp32"


def test_the_most_exact_model_is_taken_and_one_that_is_not_there_is_told_of(copy):
    ModelFolder(copy).model.unlink()
    reseal(copy)
    assert read_model_folder(copy).precision == "fp16"
    with pytest.raises(ModelFolderError, match=r"onnx/model\.onnx is not among the listed files"):
        read_model_folder(copy, "fp32")


@pytest.mark.parametrize(
    "name", ["config.json", "tokenizer.json", "onnx/model.onnx", "metrics.json", "README.md"]
)
@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda data: data[:-1], "expected .* bytes by the manifest, found"),
        (lambda data: data[:20] + bytes([data[20] ^ 1]) + data[21:], "SHA-256"),
        (lambda data: b"", "expected .* bytes by the manifest, found 0"),
        (None, "cannot be read: No such file"),
    ],
    ids=["truncated", "bit flipped", "emptied", "deleted"],
)
def test_a_damaged_file_is_refused_by_name(copy, name, damage, reason):
    file = copy / name
    if damage:
        file.write_bytes(damage(file.read_bytes()))
    else:
        file.unlink()
    with pytest.raises(ModelFolderError, match=reason) as caught:
        read_model_folder(copy)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "the path does not exist"),
        (lambda path: path.write_text("x"), "the path is a file"),
        (lambda path: path.mkdir(), "not a Gatewise model folder: it holds no manifest.json"),
    ],
)
def test_what_is_no_model_folder_is_refused(tmp_path, make, reason):
    make(tmp_path / "model")
    with pytest.raises(ModelFolderError, match=reason):
        read_model_folder(tmp_path / "model")


@pytest.mark.parametrize(
    ("file", "change", "reason"),
    [
        ("manifest.json", lambda d: d.update(format="x"), "manifest.json: format"),
        ("manifest.json", lambda d: d.update(format=99, new=1), "format 99, this version"),
        (
            "manifest.json",
            lambda d: d["files"].update({"a\0b": {"sha256": "0" * 64, "bytes": 1}}),
            r"files\.'a\\x00b'.*characters that can be shown",
        ),
        ("manifest.json", lambda d: d.pop("files"), "config.json is not among the listed files"),
        (
            "manifest.json",
            lambda d: d["files"].update({"../secret": {"sha256": "0" * 64, "bytes": 1}}),
            "leads out of the folder",
        ),
        (
            "manifest.json",
            lambda d: d["files"].update({"/etc/passwd": {"sha256": "0" * 64, "bytes": 1}}),
            "leads out of the folder",
        ),
    ],
)
def test_a_hostile_manifest_is_refused(copy, file, change, reason):
    change_json(copy / file, change)
    with pytest.raises(ModelFolderError, match=reason):
        read_model_folder(copy)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: d.update(vocab_size=5), "expected 5 tokens by config.json, found"),
        (
            lambda d: d["gatewise"].update(format=99),
            "format 99, this version .* reads format 2: upgrade with pip",
        ),
        (
            lambda d: d["gatewise"].update(format=1),
            "format 1, this version .* reads format 2: train the model again",
        ),
        (lambda d: d["id2label"].update({"0": "zz"}), "contradict"),
        (lambda d: d["id2label"].pop("0"), "not 0, 1, 2"),
        (lambda d: d.pop("gatewise"), "gatewise: Field required"),
        (lambda d: d.update(problem_type="regression"), "problem_type"),
    ],
)
def test_a_config_that_makes_no_sense_is_refused(copy, change, reason):
    change_json(copy / "config.json", change)
    reseal(copy)
    with pytest.raises(ModelFolderError, match=reason):
        read_model_folder(copy)


def test_a_link_out_of_the_folder_is_refused(copy, tmp_path):
    config = copy / "config.json"
    outside = tmp_path / "elsewhere.json"
    config.rename(outside)
    config.symlink_to(outside)
    with pytest.raises(ModelFolderError, match="leads out of the folder"):
        read_model_folder(copy)


def test_a_folder_is_written_whole_or_not_at_all(tmp_path):
    target = tmp_path / "model"

    def write_half():
        with write_model_folder(target) as folder:
            folder.config.write_text("{}")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert list(tmp_path.iterdir()) == []


def test_an_earlier_model_is_replaced_only_at_the_end(copy):
    with write_model_folder(copy) as folder:
        folder.config.write_text("new")
        assert read_model_folder(copy).labels.names
    assert (copy / "config.json").read_text() == "new"
    assert not (copy / "manifest.json").exists()
    assert [path.name for path in copy.parent.iterdir()] == ["model"]


def test_what_is_not_a_model_is_never_overwritten(tmp_path):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "to-mother.txt").write_text("Dear")
    with pytest.raises(ModelFolderError, match=r"to-mother\.txt, which is not part"):
        check_target(tmp_path / "letters")
    (tmp_path / "file").write_text("x")
    with pytest.raises(ModelFolderError, match="it is a file"):
        check_target(tmp_path / "file")


def test_a_failed_exchange_puts_the_earlier_model_back(copy, monkeypatch):
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


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to(path)])
def test_what_is_no_file_is_refused_without_waiting_for_it(copy, make):
    (copy / "config.json").unlink()
    make(copy / "config.json")
    with pytest.raises(ModelFolderError, match=r"expected a file|leads out"):
        read_model_folder(copy)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: d.update(post_processor=None), "its post_processor is not as Gatewise writes"),
        (lambda d: d["model"]["vocab"].update(new=99_999), "expected the ids 0, 1, 2"),
        (
            lambda d: d["model"]["vocab"].update(new=len(d["model"]["vocab"])),
            "expected .* tokens by config.json, found",
        ),
    ],
)
def test_another_dictionary_is_refused(copy, change, reason):
    change_json(copy / "tokenizer.json", change)
    reseal(copy)
    with pytest.raises(ModelFolderError, match=reason):
        read_model_folder(copy)


def test_subwords_of_an_earlier_release_are_refused_with_what_to_do(copy):
    document = json.loads(serialize_tokenizer(train_tokenizer(["learn to learn"])))
    document["model"]["vocab"]["##ing"] = len(document["model"]["vocab"])
    path = copy / "tokenizer.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    reseal(copy)
    with pytest.raises(ModelFolderError) as caught:
        read_model_folder(copy)
    assert str(caught.value) == (
        f"{path}: its tokens are WordPiece subwords of an earlier release, which this version of "
        "Gatewise does not read: train the model again"
    )


def test_a_dictionary_that_pads_or_cuts_by_itself_does_so_no_longer(copy):
    expected = Classifier.load(copy).predict_proba(["Wo ist das?"])
    path = copy / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.enable_padding()
    tokenizer.enable_truncation(3)
    tokenizer.save(str(path))
    reseal(copy)
    beside = Classifier.load(copy).predict_proba(["Wo ist das?", "Wo ist der nächste Bahnhof?"])
    assert (beside[:1] == expected).all()


def test_a_folder_of_somebody_else_with_a_manifest_is_not_overwritten(tmp_path):
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "manifest.json").write_text('{"name": "my app"}')
    with pytest.raises(ModelFolderError, match=r"manifest\.json, which is not part"):
        check_target(tmp_path / "app")


def test_a_file_put_beside_a_model_is_not_thrown_away(copy):
    (copy / "notes.txt").write_text("mine")
    with pytest.raises(ModelFolderError, match=r"notes\.txt, which is not part"):
        check_target(copy)


def test_a_pipe_in_place_of_a_manifest_is_not_waited_for(copy):
    (copy / "manifest.json").unlink()
    os.mkfifo(copy / "manifest.json")
    with pytest.raises(ModelFolderError, match="which is not part"):
        check_target(copy)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "metrics.json"])
def test_a_file_larger_than_it_can_need_is_not_read(copy, name):
    # It takes no place on the disk.
    os.truncate(copy / name, 2**31)
    change_json(
        copy / "manifest.json", lambda d: d["files"][name].update(bytes=2**31, sha256="0" * 64)
    )
    with pytest.raises(ModelFolderError, match=r"expected .*at most [\d,]+ bytes"):
        read_model_folder(copy)


def test_too_many_files_are_refused(copy):
    entry = {"sha256": "0" * 64, "bytes": 0}
    more = {f"file {number}": entry for number in range(2000)}
    change_json(copy / "manifest.json", lambda d: d["files"].update(more))
    with pytest.raises(ModelFolderError, match=r"manifest.json: files: .* at most 1000 items"):
        read_model_folder(copy)


def test_a_link_to_a_file_inside_is_followed(copy):
    (copy / "config.json").rename(copy / "kept.json")
    (copy / "config.json").symlink_to("kept.json")
    assert read_model_folder(copy).labels.names


@pytest.mark.parametrize(
    "operators", [(), ("LSTM",), ("Loop",)], ids=["none", "one of them", "another"]
)
def test_operators_that_are_not_those_of_the_network_are_refused(copy, operators):
    change_json(copy / "manifest.json", lambda d: d.update(operators=operators))
    with pytest.raises(ModelFolderError, match="its operators are not those of the networks"):
        read_model_folder(copy)


def test_a_network_beside_the_one_that_is_asked_is_looked_at_too(copy):
    shutil.copy(copy / "onnx" / "model.onnx", copy / "onnx" / "model_other.onnx")
    reseal(copy)
    assert read_model_folder(copy).model
    (copy / "onnx" / "model_other.onnx").write_bytes(b"no network")
    reseal(copy)
    with pytest.raises(ModelFolderError, match=r"model_other\.onnx: not an ONNX file"):
        read_model_folder(copy)


def test_a_zip_is_read_without_unpacking_it(copy, tmp_path):
    made = shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path, "model")
    shutil.rmtree(copy)
    loaded = read_model_folder(made)
    assert loaded.labels.names == ("de", "el", "en", "fr", "ja")
    assert loaded.folder.config == tmp_path / "packed.zip" / "model" / "config.json"
    assert [path.name for path in tmp_path.iterdir()] == ["packed.zip"]


def test_a_zip_answers_as_its_folder_does(copy, tmp_path):
    made = shutil.make_archive(str(tmp_path / "packed"), "zip", copy)
    texts = ["Wo ist das?", "Où est la gare ?"]
    expected = Classifier.load(copy).predict_proba(texts)
    assert (Classifier.load(made).predict_proba(texts) == expected).all()


def test_places_that_cannot_be_written_are_told_beforehand(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("x")
    for place, reason in (
        (".", "the current one or a mount"),
        ("file/model", "no folder can be made in"),
    ):
        with pytest.raises(ModelFolderError, match=reason), write_model_folder(place):
            pass
