"""The HTML report: complete, safe to open, deterministic, and readable in a real browser."""

import functools
import http.server
import json
import re
import shutil
import subprocess
import threading
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest

from gatewise.service.model.model_documents import Manifest
from gatewise.training.config import config
from gatewise.training.data.duplicates import Finder
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
from gatewise.vocab.tokenizer.encoded_rows import EncodedRow
from gatewise.vocab.tokenizer.encoding import Encoded
from gatewise.vocab.tokenizer.tokenizer import CLS_ID, Coverage

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
SECTIONS = [
    *("learning", "confusions", "labels", "mistakes", "calibration", "texts", "duplicates"),
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


def rejected(reported):
    """The same run with a threshold, rows out of scope, and a hostile label."""
    probabilities, correct = np.linspace(0.2, 0.99, 50), np.arange(50) % 9 > 0
    found = curve(probabilities, correct, np.linspace(0.1, 0.6, 20))
    chosen, reached = choose(found, 0.8)
    figures = {"answered": 0.9, "accuracy_answered": 0.95}
    figures |= {"out_of_scope_rows": 20, "out_of_scope_recall": 0.65}
    report = replace(reported.report, **figures)
    return replace(
        reported,
        run=replace(reported.run, validation=report, test=report),
        rejection=Rejection(HOSTILE[0], HOSTILE[1], 0.8, reached, chosen, found.thinned()),
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
    figures = tuple(
        LabelMetrics(found.label, 0.5, 0.25, 1 / 3, found.hits + found.missed, threshold)
        for found, threshold in zip(reviewed.labels, thresholds or [None] * count, strict=True)
    )
    report = Report(0.875, 1 / 3, 0.4, 0.02, rows, figures, 0.25 if several else None)
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
        models=(ExportedModel("fp32", "onnx/model.onnx", 1_480_000, 0.9, 0.8, 9, 0.2468, 5432.1),),
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


counts = pytest.mark.parametrize("count", [2, MAX_LABELS + 40])


@pytest.fixture(scope="module")
def two():
    return page(contents())


def names(count):
    return [f"label {number:03}" for number in range(count)]


def test_every_section_has_a_heading_and_a_link(two):
    document = Document(two)
    assert [section["id"] for section in document.all("section")] == SECTIONS
    assert [link["href"] for link in document.all("a")] == [f"#{name}" for name in SECTIONS]
    assert len(document.all("h1")) == 1
    assert len(document.all("h2")) == len(SECTIONS)


def test_the_page_has_the_metrics(two):
    text = " ".join(" ".join(Document(two).text).split())
    for expected in (
        *("87.5%", "0.3333", "12,345", "54,321", "1.48 MB", "0.25 ms", "5,432", "1,480,000"),
        *(
            "the cost fell & has settled",
            "dictionary has 321 entries",
            "2 × 4 × 64 × (64 + 64 + 1)",
        ),
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
    assert {**replace(slower, models=(model,)).as_dict(), "latency": None} == {
        **slower.as_dict(),
        "latency": None,
    }


@pytest.mark.parametrize(("several", "count"), [(False, 7), (False, FEW + 5), (True, 7)])
def test_labels_and_texts_are_escaped(several, count):
    labels = [f"{HOSTILE[number % len(HOSTILE)]}{number}" for number in range(count)]
    plain = Document(page(contents(names(count), several=several, texts=["plain text"])))
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
    assert {file.name for file in found} == {"page.html", "page.js", "parts.html", "style.css"}
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


@counts
def test_ids_are_unique_and_references_resolve(count):
    document = Document(page(contents(names(count), rows=1000)))
    ids = [attributes["id"] for _, attributes in document.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes in document.elements:
        if tag == "use":
            assert attributes["href"][1:] in ids
        for name in ("aria-labelledby", "aria-describedby"):
            assert attributes.get(name, ids[0]) in ids
        clip = re.fullmatch(r"url\(#(.+)\)", attributes.get("clip-path", f"url(#{ids[0]})"))
        assert clip[1] in ids


def test_calibration_is_shown_if_the_model_has_one():
    html = page(contents())
    assert "divided by a temperature of 1.42, chosen on 400 validation rows" in html
    assert "takes the mean gap from 8.0% to 2.0%" in html
    without = page(replace(contents(), calibration=None))
    assert "divided by a temperature of" not in without
    assert 'id="calibration-title"' not in without


def test_a_threshold_is_shown_with_its_effect():
    told = rejected(contents())
    html = page(told)
    document = Document(html)
    text = " ".join("".join(document.text).split())
    threshold = told.rejection.chosen.threshold
    assert f"below {threshold:.4g} is answered with {HOSTILE[0]}." in text
    assert "with which 80.0% of the answers to validation rows are correct" in text
    assert "90.0% are answered, and 95.0% of those answers are correct." in text
    assert "Of the 20 test rows out of scope, 65.0% are rejected." in text
    assert 'id="coverage-title"' in html
    assert f"threshold {threshold:.3g}" in html
    assert "<script>alert" not in html
    assert 'id="coverage-title"' not in page(contents())
    missed = replace(told, rejection=replace(told.rejection, reached=False))
    assert "No threshold reaches the target: this is the nearest." in page(missed)


def test_a_target_alone_is_shown_without_rows_out_of_scope():
    found = curve(np.linspace(0.2, 0.99, 50), np.arange(50) % 9 > 0, np.array([]))
    chosen, reached = choose(found, 0.95)
    told = rejected(contents())
    report = replace(told.report, out_of_scope_rows=None, out_of_scope_recall=None)
    told = replace(
        told,
        run=replace(told.run, validation=report, test=report),
        rejection=Rejection("none of these", None, 0.95, reached, chosen, found.thinned()),
    )
    html = page(told)
    assert "This is the lowest threshold with which 95.0% of the answers" in html
    assert "rows rejected" not in html


@counts
def test_charts_have_titles_and_descriptions(count):
    html = page(contents(names(count), rows=1000))
    charts = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    assert len(charts) == 9 + (count > FEW)
    for chart in charts:
        title, description = re.search(
            r"<title id[^>]*>([^<]+)</title>\s*<desc id[^>]*>([^<]+)</desc>", chart
        ).groups()
        assert title
        assert description.endswith(".")
        # Colours are variables of the page, which differ between light and dark.
        assert not re.search("#[0-9a-f]{6}(?![0-9a-f])", re.sub(r"\bid=\S+|url\S+", "", chart))


def test_few_labels_become_a_table_of_numbers():
    arranged = matrix(contents(names(3), rows=300).reviewed)
    assert arranged.is_small
    assert arranged.labels == ("label 000", "label 001", "label 002")
    rows = [[cell.rows if cell else 0 for cell in line] for line in arranged.grid()]
    assert np.sum(rows, axis=1).tolist() == [100] * 3
    assert arranged.grid()[1][1].is_hit


def test_confused_labels_are_neighbours_in_a_large_matrix():
    count = FEW + 10
    labels = names(count)
    # Each label of the first half is confused with its partner in the second, in half of its rows.
    review = ErrorAnalyzer(labels)
    for right in range(count):
        given = [right, (right + count // 2) % count]
        rows = [
            EncodedRow(Row("text", (labels[right],), Location("a.csv", 2)), encoded)
            for encoded in [Encoded(np.array([CLS_ID, 5]), truncated=False)] * 2
        ]
        review.add(rows, np.eye(count, dtype=np.float32)[given])
    arranged = matrix(review.result())
    assert not arranged.is_small
    assert sorted(arranged.labels) == labels
    places = {label: place for place, label in enumerate(arranged.labels)}
    for number in range(count // 2):
        assert abs(places[labels[number]] - places[labels[number + count // 2]]) == 1


def test_a_matrix_has_the_labels_with_the_most_mistakes():
    labels = names(MAX_LABELS + 5)
    review = ErrorAnalyzer(labels)
    for right in range(len(labels)):
        text = Row("text", (labels[right],), Location("a.csv", 2))
        encoded = Encoded(np.array([CLS_ID, 5]), truncated=False)
        given = (right ^ 1) if right < MAX_LABELS else right  # the last five are never mistaken
        review.add([EncodedRow(text, encoded)], np.eye(len(labels), dtype=np.float32)[[given]])
    arranged = matrix(review.result())
    assert sorted(arranged.labels) == labels[:MAX_LABELS]
    assert arranged.of == MAX_LABELS + 5


def test_a_multi_label_report_has_thresholds_and_no_matrix():
    document = page(contents(names(5), several=True))
    assert 'class="confusion"' not in document
    assert re.search(r"<th[^>]*>threshold</th>", document)
    assert "Micro F1" in document


def test_a_run_of_one_epoch_without_mistakes_or_duplicates():
    bare = contents(epochs=1, settings=["corpus.duplicates=ignore"])
    perfect = ErrorAnalyzer(["ham", "spam"])
    row = Row("text", ("ham",), Location("a.csv", 2))
    perfect.add(
        [EncodedRow(row, Encoded(np.array([CLS_ID, 5]), truncated=False))],
        np.array([[5, 0]], dtype=np.float32),
    )
    fitted = replace(bare.run.fitted, rate_test=None, findings=())
    html = page(
        replace(
            bare,
            run=replace(bare.run, fitted=fitted, test=None),
            part="validation",
            reviewed=perfect.result(),
            duplicates=None,
            vectors=None,
        )
    )
    text = " ".join(" ".join(Document(html).text).split())
    assert "All 1 validation rows have correct predictions." in text
    assert "The corpus was not searched for duplicates" in text
    assert "rate-test" not in html
    assert "vectors were found" not in text


def test_the_metrics_are_valid_json_without_paths():
    document = contents(several=True).as_dict()
    written = json.dumps(document, allow_nan=False)
    assert "/home/somebody" not in written
    assert json.loads(written)["rate_test"]["losses"] == [1.0, 0.9, 0.5, None]
    assert document["review"]["labels"][0].keys() == {"label", "hits", "missed", "wrong"}
    assert document["latency"] == {
        "32-bit floats": {"tokens": 9, "latency_ms": 0.2468, "texts_per_second": 5432.1}
    }


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder and records the requested paths."""

    requested: list[str]

    def do_GET(self):
        self.requested.append(self.path)
        super().do_GET()

    def log_message(self, *arguments):
        pass


_MEASURING = """<!DOCTYPE html><title>measuring</title><pre></pre>
<iframe src="/report.html" style="border: 0; height: 900px"></iframe>
<script>
onload = async () => {
  console.log("measuring begins");
  const frame = document.querySelector("iframe");
  const page = frame.contentDocument;
  const found = {};
  for (const width of [360, 1600]) {
    frame.style.width = width + "px";
    for (const folded of page.querySelectorAll("details")) folded.open = true;
    const { scrollWidth, clientWidth } = page.documentElement;  // a scroll bar takes the rest
    found[width] = [scrollWidth, clientWidth];
  }
  const heads = page.querySelectorAll("#labels th[scope=col]");
  const values = (column) => Array.from(
    page.querySelectorAll("#labels tbody tr"),
    (row) => row.cells[column].dataset.value ?? row.cells[column].textContent,
  );
  heads[0].querySelector("button").click();
  found.names = values(0);
  heads[4].querySelector("button").click();
  found.rows = values(4).map(Number);
  const line = page.querySelector('#learning svg path[style*="--first"]');
  found.stroke = frame.contentWindow.getComputedStyle(line).stroke;
  found.escaped = frame.contentWindow.escaped ?? false;
  document.querySelector("pre").textContent = JSON.stringify(found);
};
</script>
"""


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not on the path; .ci/run installs it")
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
    site = tmp_path / "site"
    site.mkdir()
    written = page(contents(sorted(labels), several=several, texts=texts, rows=600))
    (site / "report.html").write_text(written, encoding="utf-8")
    (site / "measuring.html").write_text(_MEASURING, encoding="utf-8")
    handler = type("Handler", (_Handler,), {"requested": []})
    serving = functools.partial(handler, directory=site)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serving) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        options = [
            *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"),
            *("--enable-logging=stderr", "--virtual-time-budget=10000", "--dump-dom"),
            f"--user-data-dir={tmp_path / 'profile'}",
        ]
        address = f"http://127.0.0.1:{server.server_port}/measuring.html"
        ended = subprocess.run(
            [CHROMIUM, *options, address],
            check=True,
            capture_output=True,
            encoding="utf-8",
            timeout=300,
        )
        server.shutdown()
    measured = re.search(r"<pre>(.+?)</pre>", ended.stdout, re.DOTALL)
    assert measured, ended.stderr[-2000:]
    found = json.loads(measured[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
    for width in (360, 1600):
        content, window = found[str(width)]
        assert content == window
        assert width - 20 <= window <= width
    assert found["names"] == sorted(labels)
    assert found["rows"] == sorted(found["rows"], reverse=True)
    assert found["stroke"] == "rgb(31, 95, 208)"
    assert found["escaped"] is False
    messages = [line for line in ended.stderr.splitlines() if ":CONSOLE" in line]
    assert len(messages) == 1, messages
    assert "measuring begins" in messages[0]
    assert set(handler.requested) <= {"/measuring.html", "/report.html", "/favicon.ico"}
