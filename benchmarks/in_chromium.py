"""JavaScript's runtimes in a real Chromium: Transformers.js and onnxruntime-web, as WebAssembly.

Owns the server that gives the browser scripts, packages, models and questions, on loopback alone.
What they are asked is in `exchange`, how in `parity/chromium.mjs`.
"""

import functools
import http.server
import json
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from answers import Answers, Question, RuntimeFailedError
from chromium import Chromium, ChromiumError, installed
from exchange import SCRIPTS, as_json, from_json
from in_node import NODE_MODULES
from in_node import missing as missing_in_node

_ASKED = "import('/scripts/chromium.mjs').then(async (it) => JSON.stringify(await it.answer(%d)))"
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


def _lay(site: Path, questions: Sequence[Question], modules: Path) -> None:
    (site / "models").mkdir(parents=True)
    (site / "questions").mkdir()
    (site / "index.html").write_text(_PAGE, encoding="utf-8")
    (site / "scripts").symlink_to(SCRIPTS)
    (site / "node_modules").symlink_to(modules.resolve())
    for number, question in enumerate(questions):
        (site / "models" / str(number)).symlink_to(question.folder.resolve())
        document = json.dumps(as_json(question))
        (site / "questions" / f"{number}.json").write_text(document, encoding="utf-8")


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder without a word."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 — the library's name
        """Says nothing: pages ask for hundreds of files."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serves a folder on a free port of loopback until the block ends; gives the address."""
    handler = functools.partial(_Handler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
