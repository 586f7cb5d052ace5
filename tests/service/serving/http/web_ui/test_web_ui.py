"""The web UI in a real Chromium."""

import json
import re
import subprocess
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import numpy as np
import pytest

from benchmarks.lib import chromium
from gatewise.service.model.classifier import Classifier
from gatewise.service.serving.http.web_ui.web_ui import POLICY

ROOT = Path(__file__).parents[5]
STATIC = ROOT / "service" / "serving" / "http" / "web_ui" / "static"
GERMAN = "Wo finde ich bitte die nächste Haltestelle?"
HOSTILE = '<img src=x onerror="document.title=1">'
RIGHT_TO_LEFT = "\u202eمرحبا 👩‍👩‍👧"

TYPED = "[...document.querySelectorAll('#answers section')]"
SETTLED = (
    f"{TYPED}.length && {TYPED}.every((one) => !one.classList.contains('stale')"
    " && !one.querySelector('.why').hidden)"
)
MARKS = "[...document.querySelectorAll('mark')].map((one) => [one.textContent, one.className])"
ROWS = (
    "[...document.querySelectorAll('.labels li')].map((row) => [row.querySelector('.name')"
    ".textContent, row.querySelector('.score').textContent, row.className])"
)
ACTIVE = "document.activeElement.id || document.activeElement.className"

# The contrast of each text with its background, lowest first.
CONTRAST = """(() => {
  const rgba = (colour) => {
    const numbers = colour.match(/[\\d.]+/g).map(Number);
    return numbers.length < 4 ? [...numbers, 1] : numbers;
  };
  const over = (top, below) => below.map((part, at) =>
    at === 3 ? 1 : top[at] * top[3] + part * (1 - top[3]));
  const light = (colour) => colour.slice(0, 3).map((part) => part / 255)
    .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
  const ground = (element) => {
    const behind = element.parentElement ? ground(element.parentElement) : [255, 255, 255, 1];
    return over(rgba(getComputedStyle(element).backgroundColor), behind);
  };
  const opacity = (element) =>
    element ? getComputedStyle(element).opacity * opacity(element.parentElement) : 1;
  const found = [];
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !element.checkVisibility() || element.closest('.unseen, noscript')) continue;
    const behind = ground(element);
    const ink = rgba(getComputedStyle(element).color);
    ink[3] *= opacity(element);
    const [high, low] = [light(over(ink, behind)), light(behind)].sort((a, b) => b - a);
    found.push([(high + 0.05) / (low + 0.05), element.textContent.slice(0, 40)]);
  }
  return found.sort((a, b) => a[0] - b[0]);
})()"""


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    if chromium.installed() is None:
        pytest.skip("Chromium is not on the path")
    with chromium.Chromium(tmp_path_factory.mktemp("chromium") / "profile") as browser:
        yield browser


@pytest.fixture
def browser(running):
    """A browser that has requested nothing and reported no error yet."""
    running.requested.clear()
    running.complaints.clear()
    return running


@pytest.fixture(scope="module")
def several(serve_app, make_app):
    return serve_app(make_app())


@pytest.fixture(scope="module")
def one(serve_app, make_app, classifier):
    return serve_app(make_app({"languages": classifier}))


@pytest.fixture(scope="module")
def pairs(serve_app, make_app, pairs_run):
    return serve_app(make_app({"pairs": Classifier.load(pairs_run[1])}))


@pytest.fixture(scope="module")
def numbers(serve_app, make_app, numbers_run):
    return serve_app(make_app({"numbers": Classifier.load(numbers_run[1])}))


@pytest.fixture(scope="module")
def gestures_service(serve_app, make_app, gestures_run):
    return serve_app(make_app({"gestures": Classifier.load(gestures_run[1])}))


@pytest.fixture(scope="module")
def many(serve_app, make_app, forward_folder):
    classifier = Classifier.load(forward_folder(labels=150))
    classifier.classes_[:3] = [HOSTILE, RIGHT_TO_LEFT, "w" * 200]
    return serve_app(make_app({"<b>many & more?1#": classifier}))


@pytest.fixture
def behind_prefix():
    """Serves a service below a path by a proxy that removes the path; yields a client of it."""

    @contextmanager
    def proxy(prefix, client):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                if not self.path.startswith(f"{prefix}/"):
                    self.send_error(404)
                    return
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                answer = httpx.request(
                    self.command,
                    f"{client.base_url}{self.path.removeprefix(prefix)}",
                    content=body,
                    headers=dict(self.headers),
                    trust_env=False,
                )
                self.send_response(answer.status_code)
                for name, value in answer.headers.items():
                    if name not in ("content-encoding", "content-length", "connection"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            do_POST = do_GET  # noqa: N815

            def log_message(self, *_):
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
            thread.start()
            address = f"http://127.0.0.1:{server.server_port}{prefix}"
            with httpx.Client(base_url=address, trust_env=False) as proxied:
                yield proxied
            server.shutdown()

    return proxy


class Opened:
    """The page of a service, in a browser."""

    def __init__(self, browser, client, width=1280, *, dark=False, ready="#answers section"):
        self.page = browser.page()
        self.evaluate, self.wait_for = self.page.evaluate, self.page.wait_for
        self.page.look(width, 740, dark=dark)
        self.page.go(f"{str(client.base_url).rstrip('/')}/")
        self.wait_for(f"document.querySelector('{ready}') !== null", 20)

    def type(self, text):
        self.evaluate("document.querySelector('#text').select()")
        self.page.insert(text)
        self.wait_for(SETTLED)

    def insert(self, text, into="#text"):
        self.evaluate(f"document.querySelector('{into}').focus()")
        self.page.insert(text)

    def text(self, selector):
        return self.evaluate(f"document.querySelector('{selector}').textContent")

    def texts(self, selector):
        return self.evaluate(
            f"[...document.querySelectorAll('{selector}')].map((one) => one.textContent)"
        )

    def is_hidden(self, selector):
        return self.evaluate(f"document.querySelector('{selector}').hidden")

    def wait_for_text(self, selector, text):
        place = f"document.querySelector('{selector}').textContent"
        self.wait_for(f"{place}.includes({json.dumps(text)})")


def answer_of(client, text):
    return client.post("/explain", json={"inputs": text}).json()[0]


def shown(score):
    if score > 0.999:
        return "> 99.9%"
    return "< 0.1%" if 0 < score < 0.001 else f"{100 * score:.1f}%"


class TestTyping:
    def test_shows_bars_and_shaded_words(self, browser, one):
        page = Opened(browser, one)
        page.type(GERMAN)
        expected = answer_of(one, GERMAN)
        assert page.text(".verdict") == "de"
        assert page.evaluate(ROWS) == [
            [each["label"], shown(each["score"]), "" if place else "given"]
            for place, each in enumerate(expected["labels"])
        ]
        page.wait_for("document.getAnimations().length === 0")
        widths = page.evaluate(
            "[...document.querySelectorAll('.bar')].map((bar) => "
            "parseFloat(getComputedStyle(bar, '::before').width) / bar.clientWidth)"
        )
        scores = [each["score"] for each in expected["labels"]]
        np.testing.assert_allclose(widths, scores, atol=0.01)
        assert page.text(".words") == GERMAN
        largest = max(1, *(abs(each["share"]) for each in expected["tokens"]))
        shades = [
            [each["text"], "for" if each["share"] > 0 else "against"]
            for each in expected["tokens"]
            if abs(each["share"]) >= 0.08 * largest
        ]
        assert page.evaluate(MARKS) == shades
        assert shades
        assert page.text(".time").startswith("version 2, answered in ")
        assert page.text(".time").endswith(" ms")
        assert page.text("#spoken") == f"languages: de, {shown(expected['score'])}"
        assert browser.complaints == []
        # Requests go to the service only; the browser opens pages of its own first.
        own = (str(one.base_url), "about:", "data:", "chrome:", "chrome-untrusted:")
        assert [url for url in browser.requested if not url.startswith(own)] == []

    def test_the_answer_belongs_to_the_latest_text(self, browser, one):
        page = Opened(browser, one)
        page.evaluate("document.querySelector('#text').focus()")
        for character in "Where is the next stop, please?":
            page.page.press(character)
        page.wait_for(SETTLED)
        page.wait_for_text(".verdict", "en")
        assert page.text(".words").startswith("Where is")
        page.type(GERMAN)
        page.wait_for_text(".verdict", "de")
        page.evaluate("document.querySelector('#text').select()")
        page.page.press("Delete")
        page.evaluate("document.querySelector('#text').setRangeText('')")
        page.page.insert(" ")
        page.wait_for("document.querySelector('#answers section').hidden")
        # A text without a token, and one with a lone surrogate, which is replaced.
        page.page.insert("\u200b")
        page.wait_for_text(".note", "nothing")
        assert page.evaluate(ROWS) == []
        page.evaluate(
            "{ const text = document.querySelector('#text'); text.value = 'wo \\ud83d ist';"
            "text.dispatchEvent(new Event('input')); }"
        )
        page.wait_for(SETTLED)
        assert page.is_hidden("#trouble")

    def test_a_text_stays_text(self, browser, one):
        page = Opened(browser, one)
        hostile = [HOSTILE, RIGHT_TO_LEFT, "</textarea><script>"]
        for text in (*hostile, "a\n\nb  c", "🇩🇪e\u0301 ½ ﬁ"):
            page.type(text)
            page.wait_for(f"document.querySelector('.words').textContent === {json.dumps(text)}")
            tokens = [each["text"] for each in answer_of(one, text)["tokens"]]
            assert {word for word, _ in page.evaluate(MARKS)} <= set(tokens)
            assert page.texts("main img, main script") == []
        assert page.evaluate("document.title") == "Gatewise"
        assert browser.complaints == []

    def test_words_that_the_model_does_not_know_are_marked(self, browser, several):
        page = Opened(browser, several)
        page.type("blue quixotic red")
        section = "section[aria-label=colours]"
        assert page.texts(f"{section} .words .unknown") == ["quixotic"]
        assert "Unknown to the model: quixotic." in page.text(f"{section} .summary")
        assert browser.complaints == []

    def test_a_label_chooses_a_training_text(
        self, browser, serve_app, make_app, classifier, forward_model_folder
    ):
        forward = Classifier.load(forward_model_folder)
        client = serve_app(make_app({"forward": forward, "languages": classifier}))
        page = Opened(browser, client, 360)
        examples = forward.artifact.config.gatewise.examples
        assert page.texts("#example option") == ["Choose one", *examples]
        # Of both versions once, and of no model without texts.
        assert page.evaluate("document.querySelectorAll('#example optgroup').length") == 1
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        page.evaluate("document.querySelector('#example').focus()")
        page.page.press("ArrowDown")
        page.wait_for(SETTLED)
        first = next(iter(examples.values()))
        assert page.evaluate("document.querySelector('#text').value") == first
        assert page.texts(".words") == [first, first]
        page.type(GERMAN)
        assert page.evaluate("document.querySelector('#example').value") == ""
        assert browser.complaints == []

    def test_the_request_is_copied_as_a_command_for_the_shell(self, browser, one):
        page = Opened(browser, one)
        text = 'it\'s $HOME `id` "x"'
        page.type(text)
        # Without access to the clipboard the command is shown.
        page.evaluate("navigator.clipboard.writeText = () => Promise.reject(new Error('no'))")
        page.evaluate("document.querySelector('.copy').click()")
        page.wait_for_text(".copied", "curl")
        command = page.text(".copied")
        assert "$KEY" not in command
        answer = subprocess.run(["sh", "-c", command], check=True, capture_output=True, text=True)
        assert json.loads(answer.stdout) == one.post("/predict", json={"inputs": text}).json()
        assert browser.complaints == []

    def test_the_unread_part_of_a_long_text_is_marked(self, browser, one):
        page = Opened(browser, one, 360)
        page.type(GERMAN * 2300)
        assert len(page.text(".words")) > 98_000
        assert page.evaluate("document.querySelector('.cut').checkVisibility()")
        read = answer_of(one, GERMAN * 2300)["tokens"][-1]["end"]
        assert page.texts(".unread") == [(GERMAN * 2300)[read:]]


class TestModels:
    def test_models_stand_side_by_side(self, browser, several):
        page = Opened(browser, several)
        page.type("blue reddish 1 2")
        names = f"{TYPED}.map((one) => one.querySelector('h2').textContent)"
        every = ["languages", "colours", "rejecting"]
        assert page.evaluate(names) == every
        tops = page.evaluate(f"{TYPED}.map((one) => one.getBoundingClientRect().top)")
        assert len(set(tops)) == 1
        # One explanation per model is requested.
        requested = page.evaluate(
            "performance.getEntriesByType('resource').map(({ name }) => new URL(name).pathname)"
        )
        explained = [path.split("/")[2] for path in requested if path.endswith("/explain")]
        assert sorted(explained) == sorted(every)
        box = "document.querySelector('#models input[value=colours]')"
        page.evaluate(f"{box}.click()")
        assert page.evaluate(names) == ["languages", "rejecting"]
        page.evaluate(f"{box}.click()")
        page.wait_for(SETTLED)
        assert page.evaluate(names) == every

    def test_two_versions_stand_side_by_side(self, browser, one):
        page = Opened(browser, one)
        titles = ["languages", "languages, version 1", "languages, version 2"]
        assert page.texts("#models label") == titles
        for title in titles[1:]:
            page.evaluate(f"document.querySelector('#models input[value=\"{title}\"]').click()")
        page.type(GERMAN)
        assert page.texts("h2") == titles
        times = page.texts(".time")
        assert [time.partition(",")[0] for time in times] == ["version 2", "version 1", "version 2"]
        asked = page.evaluate(
            "performance.getEntriesByType('resource').map(({ name }) => new URL(name).pathname)"
        )
        for route in ("predict", "explain"):
            assert f"/models/languages/versions/1/{route}" in asked
        assert browser.complaints == []

    def test_labels_above_their_thresholds_and_none_of_these(self, browser, several):
        page = Opened(browser, several)
        colours, rejecting = (f"section[aria-label={name}]" for name in ("colours", "rejecting"))
        for text, verdict, ticked in (
            ("blue reddish", "blue, red", ["blue", "red"]),
            ("grey", "No label", []),
            ("green", "No label", []),
        ):
            page.type(text)
            assert page.text(f"{colours} .verdict") == verdict
            assert sorted(page.texts(f"{colours} .ticked .name")) == ticked
            assert page.text(f"{colours} .note").startswith("Each label is judged by itself.")
        page.type("1 2")
        assert page.text(f"{rejecting} .verdict") == "no language"
        assert sorted(page.texts(f"{rejecting} .name")) == ["de", "el", "en", "fr", "ja"]
        assert page.texts(f"{rejecting} .given") == []
        assert "sure enough" in page.text(f"{rejecting} .note")
        page.type("Bitte geben Sie eine gültige Adresse ein.")
        assert page.text(f"{rejecting} .verdict") == "de"
        assert page.is_hidden(f"{rejecting} .note")
        assert browser.complaints == []

    def test_of_many_labels_the_first_are_shown(self, browser, many):
        page = Opened(browser, many, 360)
        page.type(GERMAN)
        assert len(page.evaluate(ROWS)) == 5
        more = "document.querySelector('.more')"
        assert page.text(".more") == "Show all 150 labels"
        assert page.evaluate(f"{more}.getAttribute('aria-expanded')") == "false"
        page.evaluate(f"{more}.click()")
        names = [row[0] for row in page.evaluate(ROWS)]
        assert len(names) == 150
        assert {HOSTILE, RIGHT_TO_LEFT, "w" * 200} < set(names)
        assert page.evaluate(f"{more}.getAttribute('aria-expanded')") == "true"
        assert page.texts("main img, main b") == []
        assert page.text("h2") == "<b>many & more?1#"
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        # The hostile label is explained, and so named everywhere that a label is.
        page.evaluate(
            "[...document.querySelectorAll('.labels button')]"
            f".find((one) => one.dataset.label === {json.dumps(HOSTILE)}).click()"
        )
        page.wait_for_text("h3", "onerror")
        assert page.evaluate("document.title") == "Gatewise"
        assert browser.complaints == []


class TestNumbers:
    def test_several_numbers_have_a_row_each_and_a_press_explains_one(self, browser, pairs):
        page = Opened(browser, pairs)
        page.type("a superb film with awful music")
        body = {"inputs": "a superb film with awful music"}
        (answer,) = pairs.post("/predict", json=body).json()
        page.wait_for_text("h3", "What raises and lowers “rating”")
        assert page.texts(".labels .name") == ["rating", "length"]
        shown = list(map(float, page.texts(".labels .score")))
        assert shown == pytest.approx([each["score"] for each in answer], rel=1e-6)
        assert page.text(".verdict").startswith("rating ")
        assert page.text(".note").startswith("rating between ")
        assert page.text(".note").endswith(" with a confidence of 90.0% each.")
        page.evaluate("document.querySelectorAll('.labels button')[1].click()")
        page.wait_for_text("h3", "What raises and lowers “length”")
        assert browser.complaints == []

    def test_a_number_stands_with_its_interval_and_without_bars(self, browser, numbers):
        page = Opened(browser, numbers)
        text = "a superb film with awful music"
        page.type(text)
        ((answer,),) = numbers.post("/predict", json={"inputs": text}).json()
        (model,) = numbers.get("/models").json()["models"]
        interval = model["versions"][-1]["interval"]
        assert float(page.text(".verdict")) == pytest.approx(answer["score"], rel=1e-6)
        low, high = (answer["score"] + sign * interval["half_width"] for sign in (-1, 1))
        found = re.fullmatch(
            r"Between (\S+) and (\S+) with a confidence of (\S+)%\.", page.text(".note")
        )
        expected = [low, high, 100 * interval["confidence"]]
        assert list(map(float, found.groups())) == pytest.approx(expected, rel=1e-6)
        assert page.evaluate(ROWS) == []
        assert page.text("#spoken") == f"numbers: {page.text('.verdict')}"
        shades = dict(page.evaluate(MARKS))
        assert (shades["superb"], shades["awful"]) == ("for", "against")
        assert page.text(".legend .for") == "raises it"
        assert browser.complaints == []


class TestSequences:
    WIDTHS = "[...document.querySelectorAll('#plot > svg path')].map((one) => one.getBBox().width)"
    ANSWERED = (
        "document.querySelector('#answers section:not([hidden])') !== null"
        " && !document.querySelector('#answers section').classList.contains('stale')"
    )

    def type(self, page, text):
        page.evaluate("document.querySelector('#text').select()")
        page.page.insert(text)
        page.wait_for(self.ANSWERED)

    def test_a_sequence_is_drawn_and_classified(self, browser, gestures_service):
        page = Opened(browser, gestures_service)
        assert page.text("label[for=text]") == "Your sequence"
        steps = [[530 - 5 * step, 0.001 * step] for step in range(12)]
        steps[4][0] = None
        self.type(page, json.dumps(steps))
        page.wait_for_text(".verdict", "fall")
        (answer,) = gestures_service.post("/predict", json={"inputs": steps}).json()
        assert page.evaluate(ROWS) == [
            [each["label"], shown(each["score"]), "" if place else "given"]
            for place, each in enumerate(answer)
        ]
        assert page.evaluate(self.WIDTHS) == [1000, 1000]
        # Two parts, because of the missing number.
        parts = (
            "[...document.querySelectorAll('#plot > svg path')].map((one) => one.getAttribute('d'))"
        )
        assert [path.count("M") for path in page.evaluate(parts)] == [2, 1]
        assert page.text("#plot title") == "The sequence: 12 steps"
        assert page.text("#plot desc") == "Number 1: 475 to 530, 1 missing. Number 2: 0 to 0.011"
        assert page.texts("#plot figcaption span") == page.text("#plot desc").split(". ")
        # Nothing is explained of numbers.
        assert page.is_hidden(".why")
        assert page.evaluate("document.querySelector('.labels button').disabled")
        page.wait_for_text("#spoken", "gestures: fall")
        asked = page.evaluate(
            "performance.getEntriesByType('resource').map(({ name }) => new URL(name).pathname)"
        )
        assert not [path for path in asked if path.endswith("/explain")]
        # The same numbers in lines, as a spreadsheet gives them.
        lines = ["\t".join("" if x is None else str(x) for x in step) for step in steps]
        self.type(page, "\n".join(lines[:4] + lines[5:]))
        page.wait_for_text("#plot title", "11 steps")
        page.wait_for_text(".verdict", "fall")
        assert browser.complaints == []

    def test_the_example_is_a_sequence_to_start_from(self, browser, gestures_service):
        page = Opened(browser, gestures_service, 360)
        assert page.texts("#example option") == ["Choose one", "a wave, for the form"]
        page.evaluate("document.querySelector('#example').focus()")
        page.page.press("ArrowDown")
        page.wait_for(self.ANSWERED)
        assert page.evaluate(self.WIDTHS) == [1000, 1000]
        page.wait_for("document.querySelectorAll('.labels li').length === 3")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        for contrast, text in page.evaluate(CONTRAST)[:3]:
            assert contrast >= 4.5, text
        tree = browser.call("Accessibility.getFullAXTree", page.page.session)["nodes"]
        images = [
            (node.get("name", {}).get("value"), node["role"]["value"])
            for node in tree
            if not node["ignored"] and node["role"]["value"] in ("image", "img")
        ]
        assert any(name.startswith("The sequence: 24 steps Number 1: 5") for name, _ in images)
        assert browser.complaints == []

    def test_what_is_no_sequence_is_named(self, browser, gestures_service):
        page = Opened(browser, gestures_service)
        for text in ("who wrote it?", "[1, 2", "[[[1, 2]]]", "1;2;x"):
            self.type(page, text)
            page.wait_for_text(".note", "a JSON list, or lines of 2 numbers")
            assert page.evaluate(ROWS) == []
            assert page.is_hidden("#plot")
            assert page.is_hidden("#trouble")
        page.insert("")
        page.evaluate("document.querySelector('#text').select()")
        page.page.insert("[[1, 2, 3]]")
        page.wait_for_text("#trouble", "expected vectors of 2 numbers, received vectors of 3")
        self.type(page, "500 0\n510 0")
        page.wait_for("document.querySelector('#trouble').hidden")
        page.wait_for("document.querySelectorAll('.labels li').length === 3")

    def test_a_number_with_its_interval_and_a_long_sequence(
        self, browser, serve_app, make_app, forward_folder
    ):
        folder = forward_folder("tokens.max_length=8", features=1, labels=1)
        client = serve_app(make_app({"forecast": Classifier.load(folder)}))
        page = Opened(browser, client)
        numbers = [480, 520, None, 500, 495.5]
        self.type(page, "480, 520,, 500\n495.5")
        ((answer,),) = client.post("/predict", json={"inputs": numbers}).json()
        page.wait_for("document.querySelector('.verdict').textContent !== ''")
        assert float(page.text(".verdict")) == pytest.approx(answer["score"], rel=1e-6)
        assert page.is_hidden(".note")
        self.type(page, " ".join(map(str, range(480, 500))))
        page.wait_for_text(".note", "longer than the model reads")
        page.evaluate("navigator.clipboard.writeText = () => Promise.reject(new Error('no'))")
        page.evaluate("document.querySelector('.copy').click()")
        page.wait_for_text(".copied", '{"inputs":[480,481')
        assert browser.complaints == []

    def test_models_of_texts_and_of_sequences_stand_side_by_side(
        self, browser, serve_app, make_app, classifier, gestures_run
    ):
        models = {"languages": classifier, "gestures": Classifier.load(gestures_run[1])}
        page = Opened(browser, serve_app(make_app(models)))
        assert page.text("label[for=text]") == "Your text or sequence"
        page.insert(GERMAN)
        languages, gestures = (f"section[aria-label={name}]" for name in models)
        page.wait_for_text(f"{languages} .verdict", "de")
        page.wait_for_text(f"{gestures} .note", "no sequence of numbers")
        page.evaluate("document.querySelector('#text').select()")
        page.page.insert("[[500, 0], [530, 0], [560, 0]]")
        page.wait_for(f"document.querySelectorAll('{gestures} .labels li').length === 3")
        assert not page.is_hidden("#plot")
        page.wait_for(f"!document.querySelector('{languages}').classList.contains('stale')")
        assert page.text(f"{languages} .words") == "[[500, 0], [530, 0], [560, 0]]"
        assert browser.complaints == []


class TestBehindAPrefix:
    def test_the_pages_work_behind_a_proxy_that_removes_a_path(
        self, browser, serve_app, make_app, classifier, behind_prefix
    ):
        client = serve_app(make_app({"languages": classifier}, root_path="/classify"))
        with behind_prefix("/classify", client) as proxied:
            page = Opened(browser, proxied)
            page.type(GERMAN)
            assert page.text(".verdict") == "de"
            page.page.go(page.evaluate("document.querySelector('nav a').href"))
            page.wait_for("document.querySelectorAll('.opblock').length > 20", 20)
            # A request of the documentation, as its buttons send one.
            for button in ("[id$=live_health_live_get] button", ".try-out__btn", ".execute"):
                page.wait_for(f"document.querySelector('{button}') !== null", 20)
                page.evaluate(f"document.querySelector('{button}').click()")
            page.wait_for("document.querySelector('.live-responses-table') !== null", 20)
            page.wait_for_text(".live-responses-table", '"status": "live"')
            own = (str(proxied.base_url), "about:", "data:", "chrome:", "chrome-untrusted:")
            assert [url for url in browser.requested if not url.startswith(own)] == []
        assert browser.complaints == []


class TestAccessibility:
    def test_a_keyboard_is_enough(self, browser, several):
        page = Opened(browser, several)
        reached = []

        def tab_to(wanted):
            for _ in range(30):
                page.page.press("Tab")
                reached.append(page.evaluate(ACTIVE))
                outline = page.evaluate(
                    "getComputedStyle(document.activeElement.closest('label') ?? "
                    "document.activeElement).outlineStyle"
                )
                assert outline == "solid", reached
                if page.evaluate(f"document.activeElement.matches({json.dumps(wanted)})"):
                    return
            pytest.fail(f"{wanted} is not reached: {reached}")

        tab_to("#text")
        page.page.insert("blue reddish")
        page.wait_for(SETTLED)
        tab_to("#models input[value=colours]")
        tab_to("section[aria-label=colours] li:nth-child(2) button")
        enter = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13}
        session = page.page.session
        browser.call("Input.dispatchKeyEvent", session, type="keyDown", text="\r", **enter)
        browser.call("Input.dispatchKeyEvent", session, type="keyUp", **enter)
        second = page.evaluate("document.activeElement.dataset.label")
        page.wait_for_text("section[aria-label=colours] h3", f"For and against “{second}”")
        # The focus stays where it was though the rows are filled anew.
        assert page.evaluate("document.activeElement.dataset.label") == second
        assert page.evaluate("document.activeElement.getAttribute('aria-pressed')") == "true"
        tab_to("section[aria-label=colours] .words")

    @pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
    @pytest.mark.parametrize("width", [360, 1280])
    def test_layout_and_contrast(self, browser, several, width, dark):
        page = Opened(browser, several, width, dark=dark)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.type("Wo ist blue, reddish, 1 2? " + "w" * 300)
        page.wait_for("document.getAnimations().length === 0")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for contrast, text in page.evaluate(CONTRAST)[:3]:
            assert contrast >= 4.5, text
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, background[4:-1].split(","))) < 3 * 128) == dark

    def test_reduced_motion(self, browser, one):
        page = Opened(browser, one)
        durations = (
            "[...document.querySelectorAll('*')].flatMap((one) => [one, '::before']"
            ".map((which) => getComputedStyle(one, which === one ? null : which)))"
            ".map((style) => style.transitionDuration).filter((it) => it !== '0s').length"
        )
        page.type(GERMAN)
        assert page.evaluate(durations) > 0
        reduced = [{"name": "prefers-reduced-motion", "value": "reduce"}]
        browser.call("Emulation.setEmulatedMedia", page.page.session, features=reduced)
        assert page.evaluate(durations) == 0

    def test_every_element_has_an_accessible_name(self, browser, several):
        page = Opened(browser, several)
        page.type("blue reddish 1 2")
        tree = browser.call("Accessibility.getFullAXTree", page.page.session)["nodes"]
        parts = [
            (node["role"]["value"], node.get("name", {}).get("value", ""))
            for node in tree
            if not node["ignored"]
        ]
        wanted = {"textbox", "checkbox", "button", "link", "list", "region", "heading"}
        assert wanted <= {role for role, _ in parts}
        for role, name in parts:
            assert name or role not in wanted, role
        assert ("textbox", "Your text") in parts
        buttons = [name for role, name in parts if role == "button"]
        assert any(name.startswith("blue, ") and name.endswith(", given") for name in buttons)


class TestErrors:
    def test_an_api_key_is_kept_in_memory_only(self, browser, serve_app, make_app, keys):
        client = serve_app(make_app(api_keys_file=keys.file))
        page = Opened(browser, client, 360, ready="#key:not([hidden])")
        assert page.is_hidden("#trouble")
        page.insert(GERMAN)
        page.insert("wrong", into="#secret")
        page.evaluate("document.querySelector('#key').requestSubmit()")
        page.wait_for_text("#trouble", "this key")
        assert page.evaluate("document.activeElement.id") == "secret"
        page.evaluate("document.querySelector('#secret').select()")
        page.page.insert(keys.predict["Authorization"].removeprefix("Bearer "))
        page.evaluate("document.querySelector('#key').requestSubmit()")
        page.wait_for(SETTLED)
        assert page.is_hidden("#key")
        assert page.is_hidden("#trouble")
        assert page.evaluate("document.activeElement.id") == "text"
        assert page.evaluate("localStorage.length + sessionStorage.length") == 0
        assert page.evaluate("document.cookie") == ""
        assert page.evaluate("location.href") == f"{client.base_url}/"

    def test_a_text_that_is_too_long(self, browser, serve_app, make_app):
        page = Opened(browser, serve_app(make_app(max_body_bytes=1000)))
        page.insert("x" * 2000)
        page.wait_for_text("#trouble", "longer")
        page.type(GERMAN)
        assert page.is_hidden("#trouble")

    def test_an_unreachable_service_is_retried(self, browser, one):
        page = Opened(browser, one)
        session = page.page.session
        offline = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        browser.call("Network.emulateNetworkConditions", session, offline=True, **offline)
        page.insert(GERMAN)
        page.wait_for_text("#trouble", "reached")
        browser.call("Network.emulateNetworkConditions", session, offline=False, **offline)
        page.wait_for(SETTLED)
        page.wait_for("document.querySelector('#trouble').hidden")
        assert page.text(".verdict") == "de"


class TestFiles:
    def test_every_file_of_the_page_is_sent_with_the_policy_and_no_other(self, one):
        for name in ["", *(f"page/{path.name}" for path in STATIC.iterdir())]:
            if name == "page/index.html":
                continue
            response = one.get(f"/{name}")
            assert response.status_code == 200, name
            assert response.headers["content-security-policy"] == POLICY
            assert response.headers["x-content-type-options"] == "nosniff"
            again = one.get(f"/{name}", headers={"If-None-Match": response.headers["etag"]})
            assert (again.status_code, again.content) == (304, b"")
        assert "unsafe" not in POLICY
        for name in ("index.html", "nothing.js", "..%2fpage.py", "%00"):
            response = one.get(f"/page/{name}")
            assert response.status_code == 404
            assert response.headers["content-type"] == "application/problem+json"

    def test_the_links_lead_to_the_interface(self, browser, one):
        page = Opened(browser, one)
        links = page.evaluate("[...document.querySelectorAll('nav a')].map((one) => one.href)")
        assert links == [f"{one.base_url}/docs", f"{one.base_url}/openapi.json"]
        for link in links:
            response = httpx.get(link, trust_env=False)
            assert response.status_code == 200
            assert response.headers["content-security-policy"] != POLICY
