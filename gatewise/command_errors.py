"""Errors on the command line: one line on standard error and an exit code.

An error that the user cannot fix is a defect and keeps its traceback.
"""

import os
import sys

from gatewise.printable import printable
from gatewise.vocab.errors import GatewiseError

# The extra that installs a package, for commands that need more than the base install.
_EXTRAS = {
    "tensorflow": "train",
    "keras": "train",
    "onnx": "train",
    "sklearn": "train",
    "optuna": "train",
    "cleanlab": "audit",
    "tensorboard": "tracking",
    "mlflow": "tracking",
    "sqlalchemy": "tracking",
    "httpx": "teacher",
    "torch": "teacher",
    "transformers": "teacher",
    "fastapi": "serve",
    "starlette": "serve",
    "uvicorn": "serve",
    "pydantic_settings": "serve",
    "ray": "cluster",
}


def exit_code_of(error: BaseException) -> int | None:
    """Prints an error that the user can fix and returns the exit code; None for a defect."""
    if isinstance(error, BrokenPipeError):
        # The reader of the output has closed it, as `head` does; keep Python quiet at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    message = _message(error)
    if message is None:
        return None
    # One line, whatever a path or a label in the message holds.
    sys.stderr.write(f"gatewise: error: {printable(' '.join(message.split()))}\n")
    return 1


def _with_flag(error: GatewiseError) -> str:
    """The message with the flag of the parameter that it names or that fixes the problem."""
    message, option = str(error), error.option
    if option is None:
        return message
    flag = f"--{option.replace('_', '-')}"
    if message.startswith((f"{option}: ", f"{option} ")):
        return flag + message.removeprefix(option)
    return f"{message} ({flag})"


def _message(error: BaseException) -> str | None:
    if isinstance(error, GatewiseError):
        return _with_flag(error)
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = error.name.partition(".")[0]
        if package in _EXTRAS:
            return (
                f"this command needs the package {package!r}, which is not installed: "
                f"run pip install 'gatewise[{_EXTRAS[package]}]'"
            )
    if isinstance(error, OSError) and error.strerror:
        # An error without a file name is of a stream, such as standard output on a full disk.
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}"
    return None
