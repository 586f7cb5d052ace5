"""JavaScript's runtimes in Node: Transformers.js and onnxruntime-node.

Knows where their packages are. What they are asked is in `exchange`, how in `parity/node.mjs`, and
what they hold ready in `parity/held.mjs`.
"""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from answers import Answers, Question, RuntimeFailedError
from exchange import SCRIPTS, answered_by

NODE_MODULES = Path(__file__).resolve().parent.parent / "tests" / "runtimes" / "node_modules"
"""Where the packages are that `tests/runtimes/package.json` asks for."""


Tell = Callable[[Mapping[str, object]], Any]
"""Has a runtime that holds models ready do something; see `parity/held.mjs`."""


def missing(modules: Path) -> str | None:
    """Why nothing can be run in Node; None if it can."""
    if shutil.which("node") is None:
        return "Node is not on the path"
    if not (modules / "@huggingface" / "transformers").is_dir():
        return (
            f"{modules} holds no Transformers.js: run "
            "npm ci --ignore-scripts --prefix tests/runtimes"
        )
    return None


def ask(questions: Sequence[Question], modules: Path = NODE_MODULES) -> list[list[Answers]]:
    """The answers to each question, one process for all.

    Args:
        questions: The questions.
        modules: The `node_modules` with the runtimes.

    Raises:
        RuntimeFailedError: If Node or a package is missing, or Node fails.
    """
    if reason := missing(modules):
        raise RuntimeFailedError(reason)
    return answered_by(["node", SCRIPTS / "node.mjs", modules.resolve()], questions)


@contextmanager
def held(models: Path, modules: Path = NODE_MODULES) -> Iterator[Tell]:
    """A Node that holds models ready until the block ends.

    Args:
        models: The folder that their folders are in.
        modules: The `node_modules` with the runtimes.

    Raises:
        RuntimeFailedError: If Node or a package is missing, or Node ends.
    """
    if reason := missing(modules):
        raise RuntimeFailedError(reason)
    command = ["node", *map(str, (SCRIPTS / "node_held.mjs", modules.resolve(), models.resolve()))]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
    ) as process:

        def tell(told: Mapping[str, object]) -> Any:
            if process.stdin is None or process.stdout is None:
                raise RuntimeFailedError("Node cannot be spoken to")
            try:
                process.stdin.write(f"{json.dumps(told)}\n")
                process.stdin.flush()
            except BrokenPipeError:
                raise RuntimeFailedError("Node has ended") from None
            if answer := process.stdout.readline():
                return json.loads(answer)
            raise RuntimeFailedError(f"Node has ended, when it was told {told['what']}")

        try:
            yield tell
        finally:
            process.terminate()
