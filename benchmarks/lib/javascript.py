"""JavaScript's runtimes in Node and in Chromium, with models that stay loaded.

The packages are those of `tests/runtimes/package.json`; the commands are in `scripts/resident.mjs`.
"""

import functools
import http.server
import json
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.lib.chromium import Chromium, installed
from benchmarks.lib.command import ROOT, BenchmarkError

NODE_MODULES = ROOT / "tests" / "runtimes" / "node_modules"

Tell = Callable[[Mapping[str, object]], Any]
"""Has a runtime do a command, and gives what came of it."""

_SCRIPTS = Path(__file__).parent / "scripts"
_TELL = "import('/scripts/chromium.mjs').then(async (it) => JSON.stringify(await it.tell(%s)))"
_PAGE = "<!doctype html><meta charset=utf-8><title>benchmark</title>"


def missing_in_node(modules: Path = NODE_MODULES) -> str | None:
    """Why nothing can be run in Node; None if it can."""
    if shutil.which("node") is None:
        return "Node is not on the path"
    if not (modules / "@huggingface" / "transformers").is_dir():
        command = "npm ci --ignore-scripts --prefix tests/runtimes"
        return f"{modules} holds no Transformers.js: run {command}"
    return None


def missing_in_chromium(modules: Path = NODE_MODULES) -> str | None:
    """Why nothing can be run in Chromium; None if it can."""
    if installed() is None:
        return "Chromium is not on the path"
    return missing_in_node(modules)


@contextmanager
def in_node(models: Path, modules: Path = NODE_MODULES) -> Iterator[Tell]:
    """A Node with the model folders in a folder, until the block ends.

    Raises:
        BenchmarkError: If Node or a package is missing, or Node ends.
    """
    if reason := missing_in_node(modules):
        raise BenchmarkError(reason)
    command = ["node", *map(str, (_SCRIPTS / "node.mjs", modules.resolve(), models.resolve()))]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
    ) as process:
        if process.stdin is None or process.stdout is None:
            raise BenchmarkError("Node has no pipes")
        commands, answers = process.stdin, process.stdout

        def send(command: Mapping[str, object]) -> Any:
            try:
                commands.write(f"{json.dumps(command)}\n")
                commands.flush()
                if line := answers.readline():
                    return json.loads(line)
            except BrokenPipeError:
                pass
            raise BenchmarkError(f"Node has ended at the command {command['what']}")

        try:
            yield send
        finally:
            process.terminate()


@contextmanager
def in_chromium(models: Path, modules: Path = NODE_MODULES) -> Iterator[Tell]:
    """A page with the model folders in a folder, until the block ends.

    It is isolated from others, so that its clock has a resolution of 5 µs.

    Raises:
        BenchmarkError: If Chromium or a package is missing, or the page fails.
    """
    if reason := missing_in_chromium(modules):
        raise BenchmarkError(reason)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        site, profile = Path(scratch) / "site", Path(scratch) / "profile"
        site.mkdir()
        (site / "index.html").write_text(_PAGE, encoding="utf-8")
        (site / "scripts").symlink_to(_SCRIPTS)
        (site / "node_modules").symlink_to(modules.resolve())
        (site / "models").symlink_to(models.resolve())
        with served(site, isolated=True) as address, Chromium(profile) as browser:
            page = browser.page()
            page.go(f"{address}/index.html")
            if not page.evaluate("crossOriginIsolated"):
                raise BenchmarkError("the page is not isolated: its clock is too coarse")
            # A string as the result: the protocol takes its time for large objects.
            yield lambda command: json.loads(page.evaluate(_TELL % json.dumps(command)))


class _Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 — the library's name
        """Logs nothing: pages ask for hundreds of files."""


class _IsolatedHandler(_Handler):
    def end_headers(self) -> None:
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()


@contextmanager
def served(folder: Path, *, isolated: bool = False) -> Iterator[str]:
    """Serves a folder on a free port of loopback until the block ends; gives the address."""
    handler = functools.partial(_IsolatedHandler if isolated else _Handler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
