"""JavaScript's runtimes in Node: Transformers.js and onnxruntime-node.

Knows where their packages are. What they are asked is in `exchange`, how in `parity/node.mjs`.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

from answers import Answers, Question, RuntimeFailedError
from exchange import SCRIPTS, answered_by

NODE_MODULES = Path(__file__).resolve().parent.parent / "tests" / "runtimes" / "node_modules"
"""Where the packages are that `tests/runtimes/package.json` asks for."""


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
