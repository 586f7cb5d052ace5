"""The example pages give the classifier's answers in a real Chromium, also without a network."""

import importlib
import importlib.util
import json
import shutil
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from typer import Typer
from typer.testing import CliRunner

import gatewise
from benchmarks.lib.chromium import Chromium
from benchmarks.lib.javascript import NODE_MODULES, missing_in_chromium, served
from gatewise.service.model.model_folder import (
    ModelFolder,
    read_model_folder,
    seal_model_folder,
    write_json,
)

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "browser"
LOADED = "!/Loading|Running/.test(document.querySelector('#answer').textContent)"
ROWS = "[...document.querySelectorAll('#labels li')].map(({dataset: d}) => [d.label, +d.score])"
PREDICTED = (
    "[...document.querySelectorAll('#labels .predicted .name')].map((name) => name.textContent)"
)
ANSWER = "document.querySelector('#answer').textContent"
TEXT = "Wo finde ich bitte die nächste Haltestelle?"


@pytest.fixture(scope="module")
def node_modules():
    if reason := missing_in_chromium():
        pytest.skip(reason)
    return NODE_MODULES


@pytest.fixture(scope="module")
def lay_site():
    spec = importlib.util.spec_from_file_location("lay_site", EXAMPLE / "lay_site.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def exported(model_folder, tmp_path_factory):
    """A model folder with test vectors, the last of which is wrong."""
    from gatewise.training.mobile.test_vectors import vectors_of

    folder = ModelFolder(shutil.copytree(model_folder, tmp_path_factory.mktemp("mobile") / "phone"))
    vectors = vectors_of(gatewise.load(model_folder))
    last = vectors["vectors"][-1]
    last["scores"] = [score + 2e-4 for score in last["scores"]]
    write_json(folder.path / "test_vectors.json", vectors)
    seal_model_folder(folder, read_model_folder(model_folder).manifest)
    return folder.path


@pytest.fixture(scope="module")
def site(lay_site, exported, node_modules, tmp_path_factory):
    out = tmp_path_factory.mktemp("site")
    lay_site.lay(exported, out, node_modules)
    return out


@pytest.fixture
def browser(tmp_path):
    with Chromium(tmp_path / "profile") as browser:
        yield browser


def scores_on(page, classifier):
    """The scores on the page in the order of the labels; NaN for those not shown."""
    found = dict(page.evaluate(ROWS))
    return [found.get(label, np.nan) for label in classifier.classes_]


def check_answer(page, classifier, text):
    np.testing.assert_allclose(
        scores_on(page, classifier), classifier.predict_proba([text])[0], atol=1e-5
    )
    assert page.evaluate(ANSWER) == classifier.predict([text])[0]
    assert page.evaluate(PREDICTED) == classifier.predict([text])


def test_typing_gives_the_answer_of_the_classifier_also_offline(site, browser, model_folder):
    classifier = gatewise.load(model_folder)
    with served(site) as address:
        page = browser.page()
        page.look(360, 740)
        page.go(f"{address}/")
        page.wait_for(LOADED)
        assert page.evaluate(ANSWER) == "Type a text to see its label."
        page.press("Tab")
        assert page.evaluate("document.activeElement.id") == "text"
        page.insert(TEXT)
        page.wait_for("document.querySelector('#labels li') !== null")
        check_answer(page, classifier, TEXT)
        page.wait_for(f"document.querySelector('#announced').textContent === {ANSWER}")
        page.press("Tab")
        assert page.evaluate("document.activeElement.href") == f"{address}/vectors.html"
        page.wait_for("document.querySelector('#offline').textContent.includes('offline')")
    # The server is stopped: the page comes from the cache.
    page.reload()
    page.wait_for(LOADED)
    other = "Je voudrais un café, s'il vous plaît"
    page.go(f"{address}/#{quote(other)}")
    page.wait_for("document.querySelector('#labels li') !== null")
    check_answer(page, classifier, other)
    requested = set(browser.requested)
    assert f"{address}/lib/ort-wasm-simd-threaded.wasm" in requested
    # Chromium's own first page loads from these schemes.
    own = (f"{address}/", "about:", "data:", "chrome:", "chrome-untrusted:")
    assert {url for url in requested if not url.startswith(own)} == set()
    assert browser.complaints == []


@pytest.mark.parametrize("text", ["", "\u200b"])
def test_a_text_without_a_token_is_not_classified(site, browser, text):
    with served(site) as address:
        page = browser.page()
        page.go(f"{address}/#{quote(text)}")
        page.wait_for(LOADED)
        assert page.evaluate(ANSWER) == "Type a text to see its label."
        assert page.evaluate(ROWS) == []


def test_a_text_may_be_rejected(lay_site, node_modules, browser, rejecting_folder, tmp_path):
    lay_site.lay(rejecting_folder, tmp_path / "site", node_modules)
    classifier = gatewise.load(rejecting_folder)
    with served(tmp_path / "site") as address:
        page = browser.page()
        for text in ("1 2", "Bitte geben Sie eine gültige Adresse ein."):
            page.go(f"{address}/#{quote(text)}")
            page.reload()
            page.wait_for(LOADED)
            assert [page.evaluate(ANSWER)] == classifier.predict([text])
        assert page.evaluate("document.querySelector('#vectors').hidden") is True


def test_a_text_may_have_multiple_labels(
    lay_site, node_modules, browser, multi_label_folder, model_folder, tmp_path
):
    folder = shutil.copytree(multi_label_folder, tmp_path / "model")
    shutil.copy(model_folder / "tokenizer_config.json", folder)
    lay_site.lay(folder, tmp_path / "site", node_modules)
    classifier = gatewise.load(folder)
    with served(tmp_path / "site") as address:
        page = browser.page()
        for text in ("blue reddish", "green", "green green red", "grey"):
            page.go(f"{address}/#{quote(text)}")
            page.reload()
            page.wait_for(LOADED)
            (labels,) = classifier.predict([text])
            assert page.evaluate(ANSWER) == (", ".join(labels) or "No label")
            assert page.evaluate(PREDICTED) == list(labels)
            np.testing.assert_allclose(
                scores_on(page, classifier), classifier.predict_proba([text])[0], atol=1e-5
            )


def test_every_vector_is_run_and_a_wrong_one_is_reported(site, browser):
    contents = (site / "model" / "test_vectors.json").read_text(encoding="utf-8")
    count = len(json.loads(contents)["vectors"])
    assert count > 50
    with served(site) as address:
        page = browser.page()
        page.go(f"{address}/vectors.html")
        page.wait_for(LOADED)
        assert page.evaluate(ANSWER) == f"{count - 1} of {count} vectors pass."
        rows = page.evaluate(
            "[...document.querySelectorAll('tbody tr')].map((row) => row.className)"
        )
        assert rows == ["passes"] * (count - 1) + ["differs"]
    assert not [url for url in browser.requested if "transformers" in url]
    assert browser.complaints == []


@pytest.mark.parametrize("name", ["", "vectors.html"])
def test_the_pages_fit_narrow_and_wide_windows(site, browser, name):
    with served(site) as address:
        page = browser.page()
        grounds = set()
        for width, dark in ((320, False), (360, True), (1280, False), (1280, True)):
            page.look(width, 740, dark=dark)
            page.go(f"{address}/{name}#{quote('a long word ' + 'w' * 300)}")
            page.reload()
            page.wait_for(LOADED)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            grounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        assert len(grounds) == 2


def test_a_site_lists_all_its_files(site):
    contents = (site / "files.js").read_text(encoding="utf-8")
    names = json.loads(contents.partition("FILES = ")[2].rstrip(";\n"))
    there = [path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()]
    assert sorted(names) == sorted({"./", *there} - {"files.js"})


def test_errors_are_one_line(lay_site, model_folder, gestures_run, tmp_path):
    app = Typer()
    app.command()(lay_site.main)
    for arguments, message in (
        ([tmp_path / "none", "--out", tmp_path / "a"], "none: expected a model folder"),
        ([model_folder, "--out", tmp_path / "b", "--node-modules", tmp_path], "no such file"),
        ([gestures_run[1], "--out", tmp_path / "c"], "expected a model of texts, received one of"),
        ([model_folder, "--out", model_folder], "expected a new folder"),
    ):
        result = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
        assert result.exit_code == 1
        assert message in result.stderr
        assert result.stderr.count("\n") == 1
