"""The package gatewise-js, as npm packs it, gives Python's answers in Node and in Chromium."""

import hashlib
import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import onnx
import pytest

import gatewise
from benchmarks.lib.chromium import Chromium
from benchmarks.lib.javascript import NODE_MODULES, missing_in_chromium, missing_in_node, served
from gatewise.service.model.model_folder import read_model_folder
from gatewise.training.mobile.text_model import with_tokenizer
from gatewise.vocab.corpus.sequences import as_json

pytestmark = pytest.mark.node

HERE = Path(__file__).parent
PACKAGE = HERE.parents[1] / "packages" / "js"
MODELS = ["fp32", "fp16", "int8", "several labels", "exported"]
PAGE = """<!doctype html><meta charset=utf-8><title>gatewise-js</title>
<script type="importmap">{"imports": {
  "gatewise-js": "/node_modules/gatewise-js/src/browser.js",
  "@huggingface/tokenizers": "/node_modules/@huggingface/tokenizers/dist/tokenizers.min.mjs",
  "onnxruntime-web/wasm": "/node_modules/onnxruntime-web/dist/ort.wasm.min.mjs"}}</script>"""
ASK = """import("gatewise-js").then(async ({ Classifier }) => {
  const classifier = await Classifier.load(%s, %s);
  return JSON.stringify(await classifier.classify(%s, { topK: Infinity }));
})"""
# Of each of several sequences.
ASK_EACH = ASK.replace(
    "await classifier.classify(%s, { topK: Infinity })",
    "await Promise.all(%s.map((each) => classifier.classify(each, { topK: Infinity })))",
)


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """The archive that would be published, and the names of the files in it."""
    if reason := missing_in_node():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("packed")
    command = ["npm", "pack", "--json", "--pack-destination", str(folder)]
    finished = subprocess.run(
        command, cwd=PACKAGE, capture_output=True, encoding="utf-8", check=True
    )
    (archive,) = json.loads(finished.stdout)
    return folder / archive["filename"], {file["path"] for file in archive["files"]}


@pytest.fixture(scope="module")
def app(packed, tmp_path_factory):
    """A folder in which the packed package is installed, beside what it needs."""
    folder = tmp_path_factory.mktemp("app")
    modules = folder / "node_modules"
    modules.mkdir()
    for installed in NODE_MODULES.resolve().iterdir():
        if not installed.name.startswith("."):
            (modules / installed.name).symlink_to(installed)
    with tarfile.open(packed[0]) as archive:
        archive.extractall(modules, filter="data")
    (modules / "package").rename(modules / "gatewise-js")
    for name in ("classify.mjs", "use.mts"):
        shutil.copy(HERE / name, folder)
    return folder


@pytest.fixture(scope="module")
def ask(app):
    """Asks the package in Node; every request loads its model anew."""
    with subprocess.Popen(
        ["node", "classify.mjs"],
        cwd=app,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    ) as node:

        def ask(place, texts, top_k=None, *, sequences=None, **options):
            request = {"place": str(place), "texts": texts, "topK": top_k, "options": options}
            request["sequences"] = sequences
            node.stdin.write(f"{json.dumps(request)}\n")
            node.stdin.flush()
            return json.loads(node.stdout.readline())

        yield ask
        node.stdin.close()


@pytest.fixture(scope="module")
def text_model(model_folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "model_text.onnx"
    onnx.save(with_tokenizer(read_model_folder(model_folder)), path)
    return path


def scores_of(answer, labels):
    """The scores of each text in the order of the labels."""
    rows = [{each["label"]: each["score"] for each in ranked} for ranked in answer]
    return np.array([[row[label] for label in labels] for row in rows])


@pytest.mark.parametrize("model", MODELS)
def test_ids_and_scores_are_those_of_python(ask, questions, model):
    question = questions[model]
    # Gatewise refuses a text without a token, in either language.
    kept = [number for number, ids in enumerate(question.ids) if len(ids) > 1]
    texts = [question.texts[number] for number in kept]
    answer = ask(question.folder, texts, "all", precision=question.precision)
    assert answer["labels"] == list(question.labels)
    assert answer["multiLabel"] == question.multi_label
    assert answer["ids"] == [list(question.ids[number]) for number in kept]
    found = scores_of(answer["scores"], question.labels)
    np.testing.assert_allclose(found, question.scores[kept], atol=1e-5)
    assert len(kept) > 500


def test_numbers_are_those_of_python_in_their_order(ask, pairs_run, tmp_path):
    texts = ["the film was superb and fine", "a poor story"]
    expected = gatewise.load(pairs_run[1]).predict(texts)
    path = tmp_path / "model_text.onnx"
    onnx.save(with_tokenizer(read_model_folder(pairs_run[1])), path)
    for place in (pairs_run[1], path):
        found = ask(place, texts)["scores"]
        assert [[each["label"] for each in row] for row in found] == [["rating", "length"]] * 2
        np.testing.assert_allclose(scores_of(found, ["rating", "length"]), expected, rtol=1e-5)


TEXTS = ["Wo ist der Bahnhof?", "Je voudrais un café", "where is it " * 200, "x"]


def test_the_most_exact_network_is_the_default(ask, model_folder):
    (exact,) = ask(model_folder, TEXTS[:1], "all", precision="fp32")["scores"]
    assert ask(model_folder, TEXTS[:1], "all")["scores"] == [exact]


def labels_of(ranked):
    return tuple(each["label"] for each in ranked)


def test_predicted_labels_are_those_of_python(
    ask, model_folder, rejecting_folder, multi_label_folder
):
    texts = ["1 2", *TEXTS]
    for folder in (model_folder, rejecting_folder):
        predicted = map(labels_of, ask(folder, texts)["scores"])
        assert list(predicted) == [(label,) for label in gatewise.load(folder).predict(texts)]
    texts = ["blue reddish", "green", "green green red", "grey"]
    predicted = map(labels_of, ask(multi_label_folder, texts)["scores"])
    assert list(predicted) == gatewise.load(multi_label_folder).predict(texts)


def test_a_rejected_text_has_the_label_of_rejected_texts_first(ask, rejecting_folder):
    classifier = gatewise.load(rejecting_folder)
    (row,) = classifier.predict_proba(["1 2"])
    (ranked,) = ask(rejecting_folder, ["1 2"], 2)["scores"]
    assert labels_of(ranked) == tuple(label for label, _ in classifier.best(row, 2))
    assert ranked[0]["score"] == ranked[1]["score"]


def test_a_text_model_gives_the_same_answers(ask, model_folder, text_model):
    texts = [*TEXTS, "a\0b \ud800 c"]
    from_folder = ask(model_folder, texts, "all")
    from_file = ask(text_model, texts, "all")
    assert from_file["labels"] == from_folder["labels"]
    assert from_file["ids"] == [None] * len(texts)
    labels = from_folder["labels"]
    np.testing.assert_allclose(
        scores_of(from_file["scores"], labels),
        scores_of(from_folder["scores"], labels),
        atol=1e-5,
    )


def test_the_part_of_a_long_text_is_the_one_that_the_model_keeps(ask, model_folder, tmp_path):
    from gatewise.service.model.model_folder import ModelFolder, seal_model_folder, write_json

    text = " ".join(TEXTS)
    for keep in ("tail", "both"):
        folder = ModelFolder(shutil.copytree(model_folder, tmp_path / keep))
        config = json.loads(folder.config.read_text(encoding="utf-8"))
        config["gatewise"]["tokens"] |= {"keep": keep, "max_length": 8}
        config["max_position_embeddings"] = 8
        write_json(folder.config, config)
        seal_model_folder(folder, read_model_folder(model_folder).manifest)
        (encoded,) = gatewise.load(folder.path).encode([text])
        assert ask(folder.path, [text])["ids"] == [encoded.ids.tolist()]


def test_the_windows_of_a_long_text_are_averaged_as_in_python(ask, model_folder, tmp_path):
    from gatewise.service.model.model_folder import ModelFolder, seal_model_folder, write_json

    folder = ModelFolder(shutil.copytree(model_folder, tmp_path / "model"))
    config = json.loads(folder.config.read_text(encoding="utf-8"))
    config["gatewise"]["tokens"] |= {"windows": 5, "max_length": 8}
    write_json(folder.config, config)
    seal_model_folder(folder, read_model_folder(model_folder).manifest)
    classifier = gatewise.load(folder.path)
    answer = ask(folder.path, TEXTS, "all")
    assert answer["ids"] == [each.ids.tolist() for each in classifier.encode(TEXTS)]
    found = scores_of(answer["scores"], classifier.classes_)
    np.testing.assert_allclose(found, classifier.predict_proba(TEXTS), atol=1e-5)


@pytest.fixture(scope="module")
def series(gestures, tmp_path_factory):
    """A folder of a model that predicts a number for a sequence, of which it reads both ends."""
    folder = tmp_path_factory.mktemp("series") / "model"
    sequences, _ = gestures(60, 3)
    rows = [numbers[:, 0] for numbers in sequences]
    values = [1e4 + float(np.nanmean(row)) for row in rows]
    settings = {"units": 3, "max_length": 9, "keep": "both", "epochs": 2, "check": "ignore"}
    gatewise.train(rows, values, out=folder, task="regression", **settings)
    return folder


def plain(sequences):
    """Sequences as JSON has them."""
    return [json.loads(as_json(numbers)) for numbers in sequences]


def numeric_cases(gestures, gestures_run, numbers_run, series):
    """Folders of models with numbers in or out, with inputs and whether those are sequences."""
    sequences, _ = gestures(40, 7)
    sequences += [sequences[0][:1], np.tile(sequences[1], (40, 1))]  # more steps than are read
    return [
        (gestures_run[1], sequences, True),
        (series, [numbers[:, 0] for numbers in sequences], True),
        (numbers_run[1], ["the film was superb and fine", "an awful and poor story"], False),
    ]


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_numbers_in_and_out_are_those_of_python(
    ask, gestures, gestures_run, numbers_run, series, precision
):
    for folder, given, are_sequences in numeric_cases(gestures, gestures_run, numbers_run, series):
        model = gatewise.load(folder, precision=precision)
        expected = model.probabilities(model.encode(given))
        inputs = {"texts": None, "sequences": plain(given)} if are_sequences else {"texts": given}
        answer = ask(folder, top_k="all", precision=precision, **inputs)
        np.testing.assert_allclose(
            scores_of(answer["scores"], model.classes_), expected, rtol=1e-5, atol=1e-5
        )


def test_what_is_no_sequence_is_refused(ask, gestures_run, series):
    for place, given, message in (
        (gestures_run[1], ["text"], "expected a sequence of numbers, which is what the model"),
        (gestures_run[1], [[1, 2]], "step 0, counted from 0: expected 2 numbers, received 1"),
        (gestures_run[1], [[]], "the sequence is empty"),
        (series, [[1, "2"]], "step 1, counted from 0: expected a finite number of 32 bits"),
        (series, [[1, 1e39]], "or null, received 1e+39"),
        (series, [[[[1]], [[2]]]], "received an array: give one sequence at a time"),
    ):
        answer = ask(place, None, sequences=given)
        assert answer["error"] == "GatewiseError", answer
        assert message in answer["message"]


def test_errors_are_told(ask, model_folder, text_model, tmp_path):
    damaged = shutil.copytree(model_folder, tmp_path / "damaged")
    with (damaged / "tokenizer.json").open("a") as stream:
        stream.write(" ")
    only = shutil.copytree(model_folder, tmp_path / "only")
    for place, texts, options, message in (
        (tmp_path / "none", "x", {}, "manifest.json: cannot be read: ENOENT"),
        (damaged, "x", {}, "tokenizer.json is damaged or was changed"),
        (only, "x", {"precision": "int4"}, "expected a network in int4, found fp32"),
        (text_model, "x", {"precision": "int8"}, "a single file has one precision"),
        (model_folder, 3, {}, "expected a text or an array of texts, received number"),
        (model_folder, ["x", None], {}, "text 1: expected a string, received null"),
    ):
        answer = ask(place, texts, **options)
        assert answer["error"] == "GatewiseError", answer
        assert message in answer["message"]
    for place in (model_folder, text_model):
        answer = ask(place, ["x", " "])
        assert answer["error"] == "EmptyTextError"
        assert answer["message"] == "text 1 has no token to classify"
        assert answer["empty"] is True
    assert ask(model_folder, "x", 0)["message"] == "topK: expected a number from 1 up, received 0"


def test_another_format_is_refused(ask, model_folder, tmp_path):
    folder = shutil.copytree(model_folder, tmp_path / "later")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["gatewise"]["format"] = 99
    contents = json.dumps(config).encode()
    (folder / "config.json").write_bytes(contents)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest["files"]["config.json"]["sha256"] = hashlib.sha256(contents).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    assert "of format 2, found format 99" in ask(folder, "x")["message"]
    del manifest["files"]["config.json"]
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    assert "manifest.json does not list config.json" in ask(folder, "x")["message"]
    assert "cannot be fetched" in ask("http://127.0.0.1:9/model", "x")["message"]


def test_the_archive_holds_the_sources_and_no_more(packed):
    sources = {f"src/{path.name}" for path in (PACKAGE / "src").iterdir()}
    assert packed[1] == {"README.md", "package.json", *sources}


def test_the_types_fit_their_use(app):
    compiler = NODE_MODULES / ".bin" / "tsc"
    command = [compiler, "--noEmit", "--strict", "--module", "nodenext", "--target", "es2022"]
    command += ["--types", "", "use.mts"]
    finished = subprocess.run(command, cwd=app, capture_output=True, encoding="utf-8", check=False)
    assert finished.returncode == 0, finished.stdout


@pytest.fixture
def site(app, tmp_path):
    """A folder with the page and the package, for Chromium."""
    if reason := missing_in_chromium():
        pytest.skip(reason)
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "index.html").write_text(PAGE, encoding="utf-8")
    (folder / "node_modules").symlink_to(app / "node_modules")
    return folder


@pytest.mark.browser
def test_a_page_gives_the_answers_of_python(site, model_folder, text_model, tmp_path):
    (site / "model").symlink_to(model_folder)
    (site / "model_text.onnx").symlink_to(text_model)
    expected = gatewise.load(model_folder)
    with served(site) as address, Chromium(tmp_path / "profile") as browser:
        page = browser.page()
        page.go(f"{address}/index.html")
        for place in ("model", "model/", f"{address}/model", "model_text.onnx"):
            answer = json.loads(page.evaluate(ASK % (json.dumps(place), "{}", json.dumps(TEXTS))))
            np.testing.assert_allclose(
                scores_of(answer, expected.classes_), expected.predict_proba(TEXTS), atol=1e-5
            )
        (answer,) = json.loads(
            page.evaluate(ASK % ('"model"', '{"precision": "int8"}', json.dumps(TEXTS[:1])))
        )
        precise = gatewise.load(model_folder, precision="int8").predict_proba(TEXTS[:1])
        np.testing.assert_allclose(scores_of([answer], expected.classes_), precise, atol=1e-5)
    assert not [url for url in browser.requested if "transformers" in url]


@pytest.mark.browser
def test_a_page_gives_the_numbers_of_python(
    site, gestures, gestures_run, numbers_run, series, tmp_path
):
    with served(site) as address, Chromium(tmp_path / "profile") as browser:
        page = browser.page()
        page.go(f"{address}/index.html")
        cases = numeric_cases(gestures, gestures_run, numbers_run, series)
        for number, (folder, given, are_sequences) in enumerate(cases):
            (site / str(number)).symlink_to(folder)
            model = gatewise.load(folder)
            inputs = plain(given) if are_sequences else given
            question = (ASK_EACH if are_sequences else ASK) % (
                json.dumps(str(number)),
                "{}",
                json.dumps(inputs),
            )
            found = scores_of(json.loads(page.evaluate(question)), model.classes_)
            expected = model.probabilities(model.encode(given))
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
