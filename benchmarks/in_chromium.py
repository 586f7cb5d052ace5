"""JavaScript's runtimes in a real Chromium: Transformers.js and onnxruntime-web, as WebAssembly.

Owns the server that gives the browser scripts, packages, models and questions, on loopback alone.
What they are asked is in `exchange`, how in `parity/chromium.mjs`, and what they hold ready in
`parity/held.mjs`.
"""

import functools
import http.server
import json
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from answers import Answers, Question, RuntimeFailedError
from chromium import Chromium, ChromiumError, installed
from exchange import SCRIPTS, as_json, from_json
from in_node import NODE_MODULES, Tell
from in_node import missing as missing_in_node

_ASKED = "import('/scripts/chromium.mjs').then(async (it) => JSON.stringify(await it.answer(%d)))"
_TOLD = "import('/scripts/chromium.mjs').then(async (it) => JSON.stringify(await it.tell(%s)))"
_PAGE = "<!doctype html><meta charset=utf-8><title>parity</title>"


def missing(modules: Path) -> str | None:
    """Why nothing can be run in Chromium; None if it can."""
    if installed() is None:
        return "Chromium is not on the path"
    return missing_in_node(modules)


def ask(questions: Sequence[Question], modules: Path = NODE_MODULES) -> list[list[Answers]]:
    """The answers to each question, one page for all.

    Args:
        questions: The questions.
        modules: The `node_modules` with the runtimes.

    Raises:
        RuntimeFailedError: If Chromium or a package is missing, or a page fails.
    """
    if reason := missing(modules):
        raise RuntimeFailedError(reason)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        site, profile = Path(scratch) / "site", Path(scratch) / "profile"
        _lay(site, questions, modules)
        try:
            with served(site) as address, Chromium(profile) as browser:
                page = browser.page()
                page.go(f"{address}/index.html")
                # As a string: the protocol takes its time for large objects.
                found = [
                    json.loads(page.evaluate(_ASKED % number)) for number in range(len(questions))
                ]
        except ChromiumError as error:
            raise RuntimeFailedError(str(error)) from None
    return [from_json(*pair) for pair in zip(questions, found, strict=True)]


@contextmanager
def held(models: Path, modules: Path = NODE_MODULES) -> Iterator[Tell]:
    """A page that holds models ready until the block ends.

    It is isolated from others, so that its clock tells five millionths of a second.

    Args:
        models: The folder that their folders are in.
        modules: The `node_modules` with the runtimes.

    Raises:
        RuntimeFailedError: If Chromium or a package is missing, or the page fails.
    """
    if reason := missing(modules):
        raise RuntimeFailedError(reason)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        site, profile = Path(scratch) / "site", Path(scratch) / "profile"
        _lay_out(site, modules)
        (site / "models").symlink_to(models.resolve())
        try:
            with served(site, isolated=True) as address, Chromium(profile) as browser:
                page = browser.page()
                page.go(f"{address}/index.html")
                if not page.evaluate("crossOriginIsolated"):
                    raise RuntimeFailedError("the page is not isolated: its clock is too coarse")

                def tell(told: Mapping[str, object]) -> Any:
                    return json.loads(page.evaluate(_TOLD % json.dumps(told)))

                yield tell
        except ChromiumError as error:
            raise RuntimeFailedError(str(error)) from None


def _lay(site: Path, questions: Sequence[Question], modules: Path) -> None:
    _lay_out(site, modules)
    (site / "models").mkdir()
    (site / "questions").mkdir()
    for number, question in enumerate(questions):
        (site / "models" / str(number)).symlink_to(question.folder.resolve())
        document = json.dumps(as_json(question))
        (site / "questions" / f"{number}.json").write_text(document, encoding="utf-8")


def _lay_out(site: Path, modules: Path) -> None:
    site.mkdir(parents=True)
    (site / "index.html").write_text(_PAGE, encoding="utf-8")
    (site / "scripts").symlink_to(SCRIPTS)
    (site / "node_modules").symlink_to(modules.resolve())


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder without a word."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 — the library's name
        """Says nothing: pages ask for hundreds of files."""


class _IsolatedHandler(_Handler):
    """Serves pages that may share nothing with others, which are given a finer clock."""

    def end_headers(self) -> None:
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()


@contextmanager
def served(folder: Path, *, isolated: bool = False) -> Iterator[str]:
    """Serves a folder on a free port of loopback until the block ends; gives the address.

    Args:
        folder: What is served.
        isolated: Whether its pages are isolated from others.
    """
    handler = functools.partial(_IsolatedHandler if isolated else _Handler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
