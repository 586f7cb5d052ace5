"""The HTML report: complete, safe to open, deterministic, and readable in a real browser."""

import json
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest

from benchmarks.lib import chromium
from gatewise.service.model.model_documents import Manifest
from gatewise.training.config import config
from gatewise.training.data.corpus_findings import CorpusCheck, CorpusFinding, ExampleRow
from gatewise.training.data.duplicates import Finder
from gatewise.training.data.row_survey import RowSurvey
from gatewise.training.evaluation.baselines import Baselines, LinearBaseline
from gatewise.training.evaluation.calibration import Calibration
from gatewise.training.evaluation.error_analysis import ErrorAnalyzer
from gatewise.training.evaluation.evaluate import LabelMetrics, Report
from gatewise.training.evaluation.model_benchmark import ExportedModel
from gatewise.training.evaluation.rejection import Rejection, choose, curve
from gatewise.training.fit.progress import Epoch, Fitted, RateTest
from gatewise.training.network import parameters
from gatewise.training.network.shape import Shape
from gatewise.training.network.vectors import Vectors
from gatewise.training.report.confusion_matrix import FEW, MAX_LABELS, matrix
from gatewise.training.report.contents import ReportContents
from gatewise.training.report.page import page
from gatewise.training.run_metrics import RunMetrics
from gatewise.vocab.corpus.corpus_reader import Row
from gatewise.vocab.corpus.records import Location
from gatewise.vocab.tokenizer.coverage import Coverage
from gatewise.vocab.tokenizer.encoded_rows import EncodedRow
from gatewise.vocab.tokenizer.encoding import Encoded
from gatewise.vocab.tokenizer.tokenizer import CLS_ID

SECTIONS = [
    *(
        "corpus",
        "learning",
        "confusions",
        "labels",
        "mistakes",
        "calibration",
        "texts",
        "duplicates",
    ),
    *("parameters", "models", "settings", "origin"),
]
HOSTILE = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "</title></style></svg><b>bold</b>",
    "{{ 7 * 7 }} {% raw %} $x^2$",
    "two\nlines\tand a tab",
    "\u202eright to left\u202c שלילי مرحبا",
    "😀 emoji 👩‍👩‍👧 and \x1b[31mcontrol\x00",
]


def rejected(reported, outside=20):
    """The same run with a threshold, a hostile label, and so many rows out of scope."""
    probabilities, correct = np.linspace(0.2, 0.99, 50), np.arange(50) % 9 > 0
    found = curve(probabilities, correct, np.linspace(0.1, 0.6, outside))
    chosen, reached = choose(found, 0.8)
    metrics = {"answered": 0.9, "accuracy_answered": 0.95}
    if outside:
        metrics |= {"out_of_scope_rows": outside, "out_of_scope_recall": 0.65}
    report = replace(reported.report, **metrics)
    name = HOSTILE[1] if outside else None
    return replace(
        reported,
        run=replace(reported.run, validation=report, test=report),
        rejection=Rejection(HOSTILE[0], name, 0.8, reached, chosen, found.thinned()),
    )


def contents(labels=("ham", "spam"), *, several=False, texts=None, rows=400, epochs=6, settings=()):
    """An invented run with a real error analysis."""
    generator = np.random.default_rng(0)
    count = len(labels)
    thresholds = (0.3,) * count if several else None
    if several:
        truth = generator.random((rows, count)) < 0.2
    else:
        truth = np.eye(count, dtype=bool)[np.arange(rows) % count]
    logits = (np.where(truth, 2.5, -1) + generator.normal(size=truth.shape)).astype(np.float32)
    seen = []
    for number, own in enumerate(truth):
        ids = np.array([CLS_ID, *generator.integers(1, 9, size=3 + number % 20)])
        text = texts[number % len(texts)] if texts else f"text {number}"
        named = tuple(sorted(labels[index] for index in np.flatnonzero(own)))
        location = Location("/home/somebody/test.csv", number + 2)
        seen.append(EncodedRow(Row(text, named, location), Encoded(ids, number % 20 == 19)))
    review = ErrorAnalyzer(labels, several, thresholds)
    review.add(seen, logits)
    reviewed = review.result()
    metrics = tuple(
        LabelMetrics(found.label, 0.5, 0.25, 1 / 3, found.hits + found.missed, threshold)
        for found, threshold in zip(reviewed.labels, thresholds or [None] * count, strict=True)
    )
    report = Report(0.875, 1 / 3, 0.4, 0.02, rows, metrics, 0.25 if several else None)
    course = tuple(
        Epoch(number, 10 * number, 1 / number, 1.1 / number, 1 - 0.5 / number, 0.01 / number)
        for number in range(1, epochs + 1)
    )
    finder = Finder(0.8)
    finder.add("train", ["one text here", "one text here", "another"])
    finder.add("validation", ["another"])
    settings = config.load(assignments=["tokens.max_length=24", *settings])
    return ReportContents(
        run=RunMetrics(
            rows=12345,
            labels=count,
            tokens=321,
            parameters=54321,
            coverage=Coverage(texts=rows, tokens=1000, known=990),
            fitted=Fitted(
                epochs=course,
                best=course[-1],
                metric="accuracy",
                rate_test=RateTest((1e-4, 1e-3, 1e-2, 1e-1), (1.0, 0.9, 0.5, float("inf")), 3e-3),
                findings=("the cost fell & has settled",),
                peak_rate=3e-3,
            ),
            validation=report,
            test=report,
        ),
        config=settings,
        manifest=Manifest(
            seed=7,
            corpus_sha256="0" * 64,
            versions={"gatewise": "1.2.3"},
            opset=17,
            operators=("GRU", "Gemm"),
        ),
        reviewed=reviewed,
        part="test",
        layers=parameters.parameters(settings.network, Shape(321, count, (1, 2))),
        models=(
            ExportedModel(
                "fp32",
                "onnx/model.onnx",
                1_480_000,
                {"accuracy": 0.9, "macro_f1": 0.8},
                9,
                0.2468,
                5432.1,
            ),
        ),
        calibration=Calibration(1.42, rows, 0.45, 0.4, 0.08, 0.02, reviewed.trust, reviewed.trust),
        duplicates=finder.found(),
        vectors=Vectors(np.zeros((321, 8), dtype=np.float32), found=200, of=318),
    )


class Document(HTMLParser):
    """Elements with their attributes, and the text outside scripts."""

    VOID = frozenset({"meta", "link", "img", "br", "input"})

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.elements, self.text, self.open = [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"script", "style"} & set(self.open):
            self.text.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def two():
    return page(contents())


def names(count):
    return [f"label {number:03}" for number in range(count)]


def test_every_section_has_a_heading_a_link_and_its_metrics(two):
    document = Document(two)
    assert [section["id"] for section in document.all("section")] == SECTIONS
    assert [link["href"] for link in document.all("a")] == [f"#{name}" for name in SECTIONS]
    assert len(document.all("h1")) == 1
    assert len(document.all("h2")) == len(SECTIONS)
    text = " ".join(" ".join(document.text).split())
    for expected in (
        *("87.5%", "0.3333", "12,345", "54,321", "1.48 MB", "0.25 ms", "5,432", "1,480,000"),
        *("the cost fell & has settled", "dictionary has 321 entries"),
        *("2 × 4 × 64 × (64 + 64 + 1)", "takes the mean gap from 8.0% to 2.0%"),
        "divided by a temperature of 1.42, chosen on 400 validation rows",
        *("200 of 318 entries", "kept: epoch 6", "max_length 24", "1.2.3", "0" * 64, "GRU, Gemm"),
        *("tokens.max_length", "changed", "were truncated to their beginning", "train"),
    ):
        assert expected in text, expected


def test_the_same_run_gives_the_same_bytes_with_other_matplotlib_settings(two):
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.fonttype": "path"}):
        assert page(contents()) == two


def test_only_timings_differ_on_another_machine(two):
    slower = contents()
    model = replace(slower.models[0], latency_ms=99.9, texts_per_second=3.0)
    other = page(replace(slower, models=(model,)))
    assert other != two
    timing = r'<span class="timing">[^<]*</span>'
    assert re.sub(timing, "", other) == re.sub(timing, "", two)
    documents = [replace(slower, models=(model,)).as_dict(), slower.as_dict()]
    assert documents[0].pop("latency") != documents[1].pop("latency")
    assert documents[0] == documents[1]


@pytest.mark.parametrize(("several", "count"), [(False, FEW + 5), (True, 7)])
def test_labels_and_texts_are_escaped(several, count):
    labels = [f"{HOSTILE[number % len(HOSTILE)]}{number}" for number in range(count)]
    html = page(contents(names(count), several=several, texts=["plain text"]))
    # A report of several labels has thresholds and no matrix.
    assert ("Micro F1" in html) == several
    assert not several or 'class="confusion"' not in html
    assert bool(re.search(r"<th[^>]*>threshold</th>", html)) == several
    plain = Document(html)
    written = page(contents(sorted(labels), several=several, texts=HOSTILE))
    hostile = Document(written)
    # The same elements with the same attributes: no label or text became one.
    kinds = [(tag, sorted(attributes)) for tag, attributes in plain.elements]
    tags = {tag for tag, _ in kinds} | {"details", "summary"}
    assert {tag for tag, _ in hostile.elements} <= tags
    known = {name for _, attributes in kinds for name in attributes} | {"start"}
    assert {name for _, attributes in hostile.elements for name in attributes} <= known
    assert len(hostile.all("script")) == 1
    text = "".join(hostile.text)
    for written_by_users in HOSTILE[:6]:
        assert written_by_users in text
    assert "\N{REPLACEMENT CHARACTER}[31mcontrol\N{REPLACEMENT CHARACTER}" in text
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", written)


def test_templates_never_mark_a_text_as_safe():
    templates = Path(page.__code__.co_filename).parent / "templates"
    found = sorted(templates.iterdir())
    assert {file.name for file in found} == {
        *("page.html", "page.js", "parts.html", "style.css", "audit.html"),
    }
    for file in found:
        assert not re.search(r"\|\s*safe|autoescape|Markup", file.read_text("utf-8")), file


def test_nothing_is_loaded_from_anywhere(two):
    document = Document(two)
    for _, attributes in document.elements:
        assert "src" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
        target = attributes.get("href", "#")
        assert target.startswith("#") or target == "data:,", target
    assert not re.search(r"https?://|@import|url\((?!#)", two)
    (policy,) = (tag["content"] for tag in document.all("meta") if "http-equiv" in tag)
    assert policy.startswith("default-src 'none'; ")
    assert "script-src 'unsafe" not in policy


@pytest.mark.parametrize("count", [2, MAX_LABELS + 40])
def test_references_resolve_and_charts_are_described(count):
    html = page(contents(names(count), rows=1000))
    document = Document(html)
    ids = [attributes["id"] for _, attributes in document.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes in document.elements:
        if tag == "use":
            assert attributes["href"][1:] in ids
        for name in ("aria-labelledby", "aria-describedby"):
            assert attributes.get(name, ids[0]) in ids
        clip = re.fullmatch(r"url\(#(.+)\)", attributes.get("clip-path", f"url(#{ids[0]})"))
        assert clip[1] in ids


def checked(report, *findings, **rows):
    survey = RowSurvey(labels={"train": Counter(rows)})
    return replace(report, check=CorpusCheck(survey, findings))


def words(html):
    return " ".join("".join(Document(html).text).split())


def test_the_first_screen_has_the_interval_and_the_baselines():
    shown = contents()
    linear = LinearBaseline(0.9123, 0.5, None)
    found = Baselines(400, ("ham",), 0.5123, linear)
    text = words(page(replace(shown, run=replace(shown.run, baselines=found))))
    assert "Accuracy87.5%on 400 test rows83.9% to 90.4% with 95% confidence" in text
    assert "Linear baseline91.2%a linear SVM with TF-IDF features, on the same rows" in text
    assert "Majority baseline51.2%always ham" in text
    assert "no clear difference" not in text
    close = Baselines(400, ("ham",), 0.84, replace(linear, accuracy=0.9))
    text = words(page(replace(shown, run=replace(shown.run, baselines=close))))
    unclear = "within the interval of the model: no clear difference"
    assert f"on the same rows{unclear}" in text
    assert f"always ham{unclear}" in text
    without = replace(found, linear=None, why_not="there are too many rows")
    text = words(page(replace(shown, run=replace(shown.run, baselines=without))))
    assert "Linear baseline–not trained: there are too many rows" in text


def test_what_the_check_found_is_shown():
    example = ExampleRow("/home/somebody/train.csv", 17, HOSTILE[0])
    finding = CorpusFinding("few-rows", "warning", HOSTILE[1], {"labels": 1}, "Do this", example)
    shown = checked(contents(), finding)
    html = page(shown)
    assert f"warning: few-rows: {HOSTILE[1]} ({HOSTILE[0]}, train.csv, line 17). Do this" in words(
        html
    )
    assert "/home/somebody" not in html
    # On the first screen by their names, also on a phone.
    assert "Read the metrics with care: few rows. What was found" in words(html)
    note = replace(finding, severity="note")
    assert "with care" not in words(page(checked(contents(), note)))
    (found,) = shown.as_dict()["check"]
    assert found["example"]["file"] == "train.csv"
    assert "The check of the corpus found nothing." in words(page(contents()))


def test_labels_without_a_reviewed_row_are_shown():
    shown = checked(contents(("egg", "ham", "spam"), rows=2), egg=40, ham=30, spam=1)
    report = replace(shown.report, labels=shown.report.labels[:2])
    shown = replace(shown, run=replace(shown.run, validation=report, test=report))
    rows = re.findall(r'<tr><th scope="row" class="name"><bdi>(\w+)</bdi>(.*?)</tr>', page(shown))
    labels = {
        label: re.sub("<.*?>", " ", cells).split()
        for label, cells in rows
        if "bar" in cells or "–" in cells
    }
    assert labels["spam"] == ["–", "–", "–", "1", "0", "0", "0", "0"]
    assert labels["egg"][3:5] == ["40", "1"]
    assert list(labels)[-1] == "spam"


def test_settings_that_the_rows_chose_are_not_changed():
    shown = contents(settings=["training.epochs=9", "network.units=32"])
    html = page(replace(shown, automatic=("training.epochs",)))
    badges = dict(
        re.findall(r"<code>([\w.]+)</code></th>.*?</code> <span class=\"badge\">(\w+)<", html)
    )
    assert badges["training.epochs"] == "auto"
    assert badges["network.units"] == "changed"
    assert "Chosen by the rows: training.epochs = 9." in words(html)


def test_calibration_is_shown_if_the_model_has_one():
    html = page(contents())
    assert "divided by a temperature of 1.42, chosen on 400 validation rows" in html
    assert "takes the mean gap from 8.0% to 2.0%" in html
    without = page(replace(contents(), calibration=None))
    assert "divided by a temperature of" not in without
    assert 'id="calibration-title"' not in without


def test_a_threshold_is_shown_with_its_effect():
    shown = rejected(contents())
    html = page(shown)
    text = " ".join("".join(Document(html).text).split())
    threshold = shown.rejection.chosen.threshold
    assert f"below {threshold:.4g} is answered with {HOSTILE[0]}." in text
    assert "with which 80.0% of the answers to validation rows are correct" in text
    assert "90.0% are answered, and 95.0% of those answers are correct." in text
    assert "Of the 20 test rows out of scope, 65.0% are rejected." in text
    assert 'id="coverage-title"' in html
    assert f"threshold {threshold:.3g}" in html
    assert "<script>alert" not in html
    missed = replace(shown, rejection=replace(shown.rejection, reached=False))
    assert "No threshold reaches the target: this is the nearest." in page(missed)


def test_a_target_alone_is_shown_without_rows_out_of_scope():
    html = page(rejected(contents(), outside=0))
    assert "This is the lowest threshold with which 80.0% of the answers" in html
    assert "rows rejected" not in html


def test_few_labels_become_a_table_of_numbers():
    arranged = matrix(contents(names(3), rows=300).reviewed)
    assert arranged.is_small
    assert arranged.labels == ("label 000", "label 001", "label 002")
    rows = [[cell.rows if cell else 0 for cell in line] for line in arranged.grid()]
    assert np.sum(rows, axis=1).tolist() == [100] * 3
    assert arranged.grid()[1][1].is_hit


def analysis(labels, given):
    """The error analysis of one row for each pair of a label and the label that it is given."""
    analyzer = ErrorAnalyzer(labels)
    encoded = Encoded(np.array([CLS_ID, 5]), truncated=False)
    rows = [
        EncodedRow(Row("text", (labels[right],), Location("a.csv", 2)), encoded)
        for right, _ in given
    ]
    places = [place for _, place in given]
    analyzer.add(rows, np.eye(len(labels), dtype=np.float32)[places])
    return analyzer.result()


def test_confused_labels_are_neighbours_in_a_large_matrix():
    count = FEW + 10
    labels, half = names(count), count // 2
    # Each label of the first half is confused with its partner in the second, in half of its rows.
    pairs = [(n, place) for n in range(count) for place in (n, (n + half) % count)]
    arranged = matrix(analysis(labels, pairs))
    assert not arranged.is_small
    assert sorted(arranged.labels) == labels
    places = {label: place for place, label in enumerate(arranged.labels)}
    for number in range(half):
        assert abs(places[labels[number]] - places[labels[number + half]]) == 1


def test_a_matrix_has_the_labels_with_the_most_mistakes():
    labels = names(MAX_LABELS + 5)
    # The last five are never mistaken.
    pairs = [(n, n ^ 1 if n < MAX_LABELS else n) for n in range(len(labels))]
    arranged = matrix(analysis(labels, pairs))
    assert sorted(arranged.labels) == labels[:MAX_LABELS]
    assert arranged.of == MAX_LABELS + 5


def test_a_run_of_one_epoch_without_mistakes_or_duplicates():
    bare = contents(epochs=1, settings=["corpus.duplicates=ignore"])
    fitted = replace(bare.run.fitted, rate_test=None, findings=())
    run = replace(bare.run, fitted=fitted, test=None)
    absent = {"duplicates": None, "vectors": None, "calibration": None}
    perfect = analysis(["ham", "spam"], [(0, 0)])
    html = page(replace(bare, run=run, part="validation", reviewed=perfect, **absent))
    text = " ".join(" ".join(Document(html).text).split())
    assert "All 1 validation rows have correct predictions." in text
    assert "The corpus was not searched for duplicates" in text
    assert "rate-test" not in html
    assert "vectors were found" not in text
    assert "divided by a temperature of" not in html
    for chart in ("calibration-title", "coverage-title"):
        assert f'id="{chart}"' not in html


def test_the_metrics_are_valid_json_without_paths():
    document = contents(several=True).as_dict()
    written = json.dumps(document, allow_nan=False)
    assert "/home/somebody" not in written
    assert json.loads(written)["rate_test"]["losses"] == [1.0, 0.9, 0.5, None]
    assert document["review"]["labels"][0].keys() == {"label", "hits", "missed", "wrong"}
    assert document["latency"] == {
        "32-bit floats": {"tokens": 9, "latency_ms": 0.2468, "texts_per_second": 5432.1}
    }


SORTED_BY = """((column) => {
  document.querySelectorAll("#labels th[scope=col]")[column].querySelector("button").click();
  const rows = [...document.querySelectorAll("#labels tbody tr")];
  return rows.map(({cells}) => cells[column].dataset.value ?? cells[column].textContent);
})"""
WIDTHS = "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
STROKE = "getComputedStyle(document.querySelector('#learning svg path[style*=\"--first\"]')).stroke"


@pytest.mark.browser
@pytest.mark.skipif(chromium.installed() is None, reason="Chromium is not on the path")
@pytest.mark.parametrize(
    ("labels", "several"),
    [
        (["z <script>escaped = true</script>" + "w" * 80, "a"], False),
        (names(150), False),
        ([f"feeling {number} " + "long " * 12 for number in range(28)], True),
    ],
    ids=["2", "150", "several"],
)
def test_chromium_shows_the_report_without_errors(labels, several, tmp_path):
    texts = ["x" * 5000, "<script>escaped = true</script> " * 30, "שלום\n" * 40]
    written = page(contents(sorted(labels), several=several, texts=texts, rows=600))
    report = tmp_path / "report.html"
    report.write_text(written, encoding="utf-8")
    with chromium.Chromium(tmp_path / "profile") as browser:
        shown = browser.page()
        shown.go(report.as_uri())
        shown.evaluate("document.querySelectorAll('details').forEach((each) => each.open = true)")
        for width in (360, 1600):
            shown.look(width, 900)
            assert shown.evaluate(WIDTHS) == [width, width]
        assert shown.evaluate(f"{SORTED_BY}(0)") == sorted(labels)
        numbers = [float(number) for number in shown.evaluate(f"{SORTED_BY}(4)")]
        assert numbers == sorted(numbers, reverse=True)
        assert shown.evaluate(STROKE) == "rgb(31, 95, 208)"
        assert shown.evaluate("window.escaped ?? false") is False
        assert browser.complaints == []
        # Chromium's own pages aside, nothing else was requested.
        requested = {
            address for address in browser.requested if address.startswith(("file:", "http"))
        }
        assert requested == {report.as_uri()}
