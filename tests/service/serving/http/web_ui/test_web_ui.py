"""The page in a real Chromium."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.lib import chromium
from gatewise.service.model.classifier import Classifier
from gatewise.service.serving.app import create_app
from gatewise.service.serving.http.web_ui.web_ui import POLICY
from gatewise.service.serving.settings import Settings
from gatewise.vocab.tokenizer.encoding import Encoded

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


class Many(Classifier):
    """The language model with more labels: random mixtures of its own."""

    def padded_logits(self, encoded: Sequence[Encoded]) -> tuple[NDArray[np.float32], int]:
        logits, padding = self.inner.padded_logits(encoded)
        return (logits @ self.mixture).astype(np.float32), padding

    def named(self, names: Sequence[str]) -> "Many":
        self.inner = Classifier(self.artifact)
        shape = (len(self.classes_), len(names))
        self.mixture = np.random.default_rng(1).normal(size=shape)
        self.classes_ = list(names)
        return self


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    if chromium.installed() is None:
        pytest.skip("Chromium is not on the path")
    with chromium.Chromium(tmp_path / "profile") as browser:
        yield browser


@pytest.fixture(scope="module")
def several(
    serve_models: Callable[..., httpx.Client],
    classifier: Classifier,
    multi_label_folder: Path,
    rejecting_folder: Path,
) -> httpx.Client:
    return serve_models(
        {
            "languages": classifier,
            "colours": Classifier.load(multi_label_folder),
            "rejecting": Classifier.load(rejecting_folder),
        }
    )


@pytest.fixture(scope="module")
def one(serve_models: Callable[..., httpx.Client], classifier: Classifier) -> httpx.Client:
    return serve_models({"languages": classifier})


@pytest.fixture(scope="module")
def many(serve_models: Callable[..., httpx.Client], model_folder: Path) -> httpx.Client:
    names = [HOSTILE, RIGHT_TO_LEFT, "w" * 200, *(f"label {number}" for number in range(147))]
    return serve_models({"<b>many & more?1#": Many.load(model_folder).named(names)})


def opened(browser: Any, client: httpx.Client, width: int = 1280, *, dark: bool = False) -> Any:
    page = browser.page()
    page.look(width, 740, dark=dark)
    page.go(f"{client.base_url}/")
    page.wait_for("document.querySelector('#answers section') !== null", 20)
    return page


def type_text(page: Any, text: str) -> None:
    page.evaluate("document.querySelector('#text').select()")
    page.insert(text)
    page.wait_for(SETTLED)


def answer_of(client: httpx.Client, text: str) -> Any:
    return client.post("/explain", json={"inputs": text}).json()[0]


def shown(score: float) -> str:
    if score > 0.999:
        return "> 99.9%"
    return "< 0.1%" if 0 < score < 0.001 else f"{100 * score:.1f}%"


class TestTyping:
    def test_shows_bars_and_shaded_words(self, browser: Any, one: httpx.Client) -> None:
        page = opened(browser, one)
        type_text(page, GERMAN)
        told = answer_of(one, GERMAN)
        assert page.evaluate("document.querySelector('.verdict').textContent") == "de"
        rows = page.evaluate(ROWS)
        assert [row[:2] for row in rows] == [
            [each["label"], shown(each["score"])] for each in told["labels"]
        ]
        assert [row[2] for row in rows] == ["given", *[""] * 4]
        widths = page.evaluate(
            "[...document.querySelectorAll('.bar')].map((bar) => "
            "parseFloat(getComputedStyle(bar, '::before').width) / bar.clientWidth)"
        )
        page.wait_for("document.getAnimations().length === 0")
        widths = page.evaluate(
            "[...document.querySelectorAll('.bar')].map((bar) => "
            "parseFloat(getComputedStyle(bar, '::before').width) / bar.clientWidth)"
        )
        scores = [each["score"] for each in told["labels"]]
        np.testing.assert_allclose(widths, scores, atol=0.01)
        assert page.evaluate("document.querySelector('.words').textContent") == GERMAN
        largest = max(1, *(abs(each["share"]) for each in told["tokens"]))
        shades = [
            [each["text"], "for" if each["share"] > 0 else "against"]
            for each in told["tokens"]
            if abs(each["share"]) >= 0.08 * largest
        ]
        assert page.evaluate(MARKS) == shades
        assert shades
        time_told = page.evaluate("document.querySelector('.time').textContent")
        assert time_told.startswith("answered in ")
        assert time_told.endswith(" ms")
        spoken = page.evaluate("document.querySelector('#spoken').textContent")
        assert spoken == f"languages: de, {shown(told['score'])}"
        assert browser.complaints == []

    def test_the_answer_belongs_to_the_latest_text(self, browser: Any, one: httpx.Client) -> None:
        page = opened(browser, one)
        page.evaluate("document.querySelector('#text').focus()")
        for character in "Where is the next stop, please?":
            page.press(character)
        page.wait_for(SETTLED)
        page.wait_for("document.querySelector('.verdict').textContent === 'en'")
        assert page.evaluate("document.querySelector('.words').textContent").startswith("Where is")
        type_text(page, GERMAN)
        page.wait_for("document.querySelector('.verdict').textContent === 'de'")
        page.evaluate("document.querySelector('#text').select()")
        page.press("Delete")
        page.evaluate("document.querySelector('#text').setRangeText('')")
        page.insert(" ")
        page.wait_for("document.querySelector('#answers section').hidden")

    @pytest.mark.parametrize(
        "text", [HOSTILE, RIGHT_TO_LEFT, "a\n\nb  c", "🇩🇪e\u0301 ½ ﬁ", "</textarea><script>"]
    )
    def test_a_text_stays_text(self, browser: Any, one: httpx.Client, text: str) -> None:
        page = opened(browser, one)
        type_text(page, text)
        assert page.evaluate("document.querySelector('.words').textContent") == text
        told = [each["text"] for each in answer_of(one, text)["tokens"]]
        for word, _ in page.evaluate(MARKS):
            assert word in told
        assert page.evaluate("document.querySelectorAll('main img, main script').length") == 0
        assert page.evaluate("document.title") == "Gatewise"
        assert browser.complaints == []

    def test_the_unread_part_of_a_long_text_is_marked(
        self, browser: Any, one: httpx.Client
    ) -> None:
        page = opened(browser, one, 360)
        type_text(page, GERMAN * 2300)
        assert page.evaluate("document.querySelector('.words').textContent.length") > 98_000
        assert page.evaluate("document.querySelector('.cut').checkVisibility()")
        (unread,) = page.evaluate(
            "[...document.querySelectorAll('.unread')].map((one) => one.textContent)"
        )
        read = answer_of(one, GERMAN * 2300)["tokens"][-1]["end"]
        assert unread == (GERMAN * 2300)[read:]

    def test_a_text_without_a_token(self, browser: Any, one: httpx.Client) -> None:
        page = opened(browser, one)
        page.evaluate("document.querySelector('#text').focus()")
        page.insert("\u200b")
        page.wait_for("document.querySelector('.note').textContent.includes('nothing')")
        assert page.evaluate(ROWS) == []

    def test_a_lone_surrogate_is_replaced(self, browser: Any, one: httpx.Client) -> None:
        page = opened(browser, one)
        page.evaluate(
            "{ const text = document.querySelector('#text'); text.value = 'wo \\ud83d ist';"
            "text.dispatchEvent(new Event('input')); }"
        )
        page.wait_for(SETTLED)
        assert page.evaluate("document.querySelector('#trouble').hidden")


class TestModels:
    def test_stand_side_by_side(self, browser: Any, several: httpx.Client) -> None:
        page = opened(browser, several)
        type_text(page, "blue reddish 1 2")
        names = page.evaluate(f"{TYPED}.map((one) => one.querySelector('h2').textContent)")
        assert names == ["languages", "colours", "rejecting"]
        tops = page.evaluate(f"{TYPED}.map((one) => one.getBoundingClientRect().top)")
        assert len(set(tops)) == 1
        box = "document.querySelectorAll('#models input')[1]"
        page.evaluate(f"{box}.click()")
        names = page.evaluate(f"{TYPED}.map((one) => one.querySelector('h2').textContent)")
        assert names == ["languages", "rejecting"]
        page.evaluate(f"{box}.click()")
        page.wait_for(SETTLED)
        names = page.evaluate(f"{TYPED}.map((one) => one.querySelector('h2').textContent)")
        assert names == ["languages", "colours", "rejecting"]

    def test_several_labels_have_bars_of_their_own(
        self, browser: Any, several: httpx.Client
    ) -> None:
        page = opened(browser, several)
        colours = f"{TYPED}[1]"
        for text, verdict, ticked in (
            ("blue reddish", "blue, red", ["blue", "red"]),
            ("grey", "No label", []),
            ("green", "No label", []),
        ):
            type_text(page, text)
            assert page.evaluate(f"{colours}.querySelector('.verdict').textContent") == verdict
            found = page.evaluate(
                f"[...{colours}.querySelectorAll('.ticked .name')].map((one) => one.textContent)"
            )
            assert sorted(found) == ticked
            note = page.evaluate(f"{colours}.querySelector('.note').textContent")
            assert note.startswith("Each label is judged by itself.")
        assert browser.complaints == []

    def test_none_of_these_is_no_bar(self, browser: Any, several: httpx.Client) -> None:
        page = opened(browser, several)
        rejecting = f"{TYPED}[2]"
        type_text(page, "1 2")
        assert page.evaluate(f"{rejecting}.querySelector('.verdict').textContent") == "no language"
        names = page.evaluate(
            f"[...{rejecting}.querySelectorAll('.name')].map((one) => one.textContent)"
        )
        assert sorted(names) == ["de", "el", "en", "fr", "ja"]
        assert page.evaluate(f"{rejecting}.querySelectorAll('.given').length") == 0
        assert "sure enough" in page.evaluate(f"{rejecting}.querySelector('.note').textContent")
        type_text(page, "Bitte geben Sie eine gültige Adresse ein.")
        assert page.evaluate(f"{rejecting}.querySelector('.verdict').textContent") == "de"
        assert page.evaluate(f"{rejecting}.querySelector('.note').hidden")

    def test_of_many_labels_the_first_are_shown(self, browser: Any, many: httpx.Client) -> None:
        page = opened(browser, many, 360)
        type_text(page, GERMAN)
        assert len(page.evaluate(ROWS)) == 5
        more = "document.querySelector('.more')"
        assert page.evaluate(f"{more}.textContent") == "Show all 150 labels"
        assert page.evaluate(f"{more}.getAttribute('aria-expanded')") == "false"
        page.evaluate(f"{more}.click()")
        names = [row[0] for row in page.evaluate(ROWS)]
        assert len(names) == 150
        assert {HOSTILE, RIGHT_TO_LEFT, "w" * 200} < set(names)
        assert page.evaluate(f"{more}.getAttribute('aria-expanded')") == "true"
        assert page.evaluate("document.querySelectorAll('main img, main b').length") == 0
        assert page.evaluate("document.querySelector('h2').textContent") == "<b>many & more?1#"
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        # The hostile label is explained, and so named everywhere that a label is.
        page.evaluate(
            "[...document.querySelectorAll('.labels button')]"
            f".find((one) => one.dataset.label === {json.dumps(HOSTILE)}).click()"
        )
        page.wait_for("document.querySelector('h3').textContent.includes('onerror')")
        assert page.evaluate("document.title") == "Gatewise"
        assert browser.complaints == []


class TestAccessibility:
    def test_a_keyboard_is_enough(self, browser: Any, several: httpx.Client) -> None:
        page = opened(browser, several)
        reached = []

        def tab_to(wanted: str) -> None:
            for _ in range(30):
                page.press("Tab")
                reached.append(page.evaluate(ACTIVE))
                assert (
                    page.evaluate(
                        "getComputedStyle(document.activeElement.closest('label') ?? "
                        "document.activeElement).outlineStyle"
                    )
                    == "solid"
                ), reached
                if page.evaluate(f"document.activeElement.matches({json.dumps(wanted)})"):
                    return
            pytest.fail(f"{wanted} is not reached: {reached}")

        tab_to("#text")
        page.insert("blue reddish")
        page.wait_for(SETTLED)
        tab_to("#models input[value=colours]")
        tab_to("section[aria-label=colours] li:nth-child(2) button")
        enter = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13}
        browser.call("Input.dispatchKeyEvent", page.session, type="keyDown", text="\r", **enter)
        browser.call("Input.dispatchKeyEvent", page.session, type="keyUp", **enter)
        heading = "document.querySelector('section[aria-label=colours] h3').textContent"
        second = page.evaluate("document.activeElement.dataset.label")
        page.wait_for(f"{heading} === 'For and against “{second}”'")
        # The focus stays where it was though the rows are filled anew.
        assert page.evaluate("document.activeElement.dataset.label") == second
        assert page.evaluate("document.activeElement.getAttribute('aria-pressed')") == "true"
        tab_to("section[aria-label=colours] .words")

    @pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
    @pytest.mark.parametrize("width", [360, 1280])
    def test_layout_and_contrast(
        self, browser: Any, several: httpx.Client, width: int, dark: bool, tmp_path: Path
    ) -> None:
        page = opened(browser, several, width, dark=dark)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        type_text(page, "Wo ist blue, reddish, 1 2? " + "w" * 300)
        page.wait_for("document.getAnimations().length === 0")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for contrast, text in page.evaluate(CONTRAST)[:3]:
            assert contrast >= 4.5, text
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, background[4:-1].split(","))) < 3 * 128) == dark
        picture = page.picture()
        assert picture.startswith(b"\x89PNG")
        (tmp_path / "page.png").write_bytes(picture)

    def test_reduced_motion(self, browser: Any, one: httpx.Client) -> None:
        page = opened(browser, one)
        durations = (
            "[...document.querySelectorAll('*')].flatMap((one) => [one, '::before']"
            ".map((which) => getComputedStyle(one, which === one ? null : which)))"
            ".map((style) => style.transitionDuration).filter((it) => it !== '0s').length"
        )
        type_text(page, GERMAN)
        assert page.evaluate(durations) > 0
        browser.call(
            "Emulation.setEmulatedMedia",
            page.session,
            features=[{"name": "prefers-reduced-motion", "value": "reduce"}],
        )
        assert page.evaluate(durations) == 0

    def test_every_element_has_an_accessible_name(
        self, browser: Any, several: httpx.Client
    ) -> None:
        page = opened(browser, several)
        type_text(page, "blue reddish 1 2")
        tree = browser.call("Accessibility.getFullAXTree", page.session)["nodes"]
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

    def test_one_explanation_per_model_is_requested(
        self, browser: Any, several: httpx.Client
    ) -> None:
        page = opened(browser, several)
        type_text(page, "blue reddish 1 2")
        asked = page.evaluate(
            "performance.getEntriesByType('resource').map(({ name }) => new URL(name).pathname)"
        )
        names = ("languages", "colours", "rejecting")
        assert sorted(path for path in asked if path.endswith("/explain")) == sorted(
            f"/models/{name}/explain" for name in names
        )


class TestErrors:
    def test_an_api_key_is_kept_in_memory_only(
        self, browser: Any, serve_models: Callable[..., httpx.Client], classifier: Classifier
    ) -> None:
        client = serve_models({"languages": classifier}, key="open sesame")
        page = browser.page()
        page.look(360, 740)
        page.go(f"{client.base_url}/")
        page.wait_for("!document.querySelector('#key').hidden")
        assert page.evaluate("document.querySelector('#trouble').hidden")
        page.evaluate("document.querySelector('#text').focus()")
        page.insert(GERMAN)
        page.evaluate("document.querySelector('#secret').focus()")
        page.insert("wrong")
        page.evaluate("document.querySelector('#key').requestSubmit()")
        page.wait_for("document.querySelector('#trouble').textContent.includes('this key')")
        assert page.evaluate("document.activeElement.id") == "secret"
        page.evaluate("document.querySelector('#secret').select()")
        page.insert("open sesame")
        page.evaluate("document.querySelector('#key').requestSubmit()")
        page.wait_for(SETTLED)
        assert page.evaluate("document.querySelector('#key').hidden")
        assert page.evaluate("document.querySelector('#trouble').hidden")
        assert page.evaluate("document.activeElement.id") == "text"
        assert page.evaluate("localStorage.length + sessionStorage.length") == 0
        assert page.evaluate("document.cookie") == ""
        assert page.evaluate("location.href") == f"{client.base_url}/"

    def test_a_text_that_is_too_long(
        self, browser: Any, serve_models: Callable[..., httpx.Client], classifier: Classifier
    ) -> None:
        client = serve_models({"languages": classifier}, settings=Settings(max_body_bytes=1000))
        page = opened(browser, client)
        page.evaluate("document.querySelector('#text').focus()")
        page.insert("x" * 2000)
        page.wait_for("document.querySelector('#trouble').textContent.includes('longer')")
        type_text(page, GERMAN)
        assert page.evaluate("document.querySelector('#trouble').hidden")

    def test_an_unreachable_service_is_retried(self, browser: Any, one: httpx.Client) -> None:
        page = opened(browser, one)
        offline = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        browser.call("Network.emulateNetworkConditions", page.session, offline=True, **offline)
        page.evaluate("document.querySelector('#text').focus()")
        page.insert(GERMAN)
        page.wait_for("document.querySelector('#trouble').textContent.includes('reached')")
        browser.call("Network.emulateNetworkConditions", page.session, offline=False, **offline)
        page.wait_for(SETTLED)
        page.wait_for("document.querySelector('#trouble').hidden")
        assert page.evaluate("document.querySelector('.verdict').textContent") == "de"


class TestFiles:
    def test_every_file_of_the_page_is_sent_with_the_policy(self, one: httpx.Client) -> None:
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

    @pytest.mark.parametrize("name", ["index.html", "nothing.js", "..%2fpage.py", "%00"])
    def test_no_other_file_is_sent(self, one: httpx.Client, name: str) -> None:
        response = one.get(f"/page/{name}")
        assert response.status_code == 404
        assert response.headers["content-type"] == "application/problem+json"

    def test_the_page_sends_requests_to_the_service_only(
        self, browser: Any, one: httpx.Client
    ) -> None:
        page = opened(browser, one)
        type_text(page, GERMAN)
        # The browser opens pages of its own first.
        own = (str(one.base_url), "about:", "data:", "chrome:", "chrome-untrusted:")
        others = [url for url in browser.asked if not url.startswith(own)]
        assert others == []

    def test_the_links_lead_to_the_interface(self, browser: Any, one: httpx.Client) -> None:
        page = opened(browser, one)
        links = page.evaluate("[...document.querySelectorAll('nav a')].map((one) => one.href)")
        assert links == [f"{one.base_url}/docs", f"{one.base_url}/openapi.json"]
        for link in links:
            response = httpx.get(link, trust_env=False)
            assert response.status_code == 200
            assert "script-src" not in response.headers.get("content-security-policy", "")

    def test_the_page_is_shown_without_a_model(
        self, serve_app: Callable[[Any], httpx.Client], tmp_path: Path
    ) -> None:
        client = serve_app(create_app(Settings(model=tmp_path)))
        assert "<title>Gatewise</title>" in client.get("/").text
