"""The `gatewise` command: subcommands, streams, signals, exit codes.

Results go to standard output, progress and errors to standard error. Exit codes: 0, 1 for an error
(one line), 2 for wrong usage.
"""

import io
import signal
import sys
from typing import Annotated

import typer

from gatewise.command_errors import exit_code_of
from gatewise.commands.audit import audit
from gatewise.commands.check import check
from gatewise.commands.evaluate import evaluate
from gatewise.commands.explain import explain
from gatewise.commands.export import export
from gatewise.commands.inspect import inspect
from gatewise.commands.key import key
from gatewise.commands.label import label
from gatewise.commands.predict import predict
from gatewise.commands.score import score
from gatewise.commands.serve import serve
from gatewise.commands.suggest import suggest
from gatewise.commands.train import train
from gatewise.commands.tune import tune
from gatewise.commands.vocab import vocab
from gatewise.vocab.errors import GatewiseError

app = typer.Typer(
    name="gatewise",
    help="From a labelled corpus to a one-megabyte text classifier.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(requested: bool) -> None:
    if requested:
        from importlib.metadata import version  # noqa: PLC0415 — nothing else needs it

        typer.echo(f"gatewise {version('gatewise')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


for _command in (
    *(check, audit, label, train, tune, vocab, evaluate, predict, explain, score),
    *(suggest, serve, key, export, inspect),
):
    app.command()(_command)


def main() -> None:
    """Runs the command; every error becomes one line on standard error and an exit code."""
    _take_signals()
    try:
        _prepare_streams()
        try:
            app(standalone_mode=True)
        finally:
            sys.stdout.flush()
    except BaseException as error:
        code = exit_code_of(error)
        if code is None:
            raise
        sys.exit(code)


def _prepare_streams() -> None:
    if sys.stdout is None:
        raise GatewiseError("standard output is closed: there is nowhere to write the results")
    for stream in (sys.stdout, sys.stderr):
        # A label that the terminal's encoding lacks is printed by its code.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _take_signals() -> None:
    # SIGTERM and SIGHUP raise SystemExit, so that half-written files are removed. A process started
    # with nohup keeps ignoring SIGHUP.
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _stop)


def _stop(number: int, _: object) -> None:
    raise SystemExit(128 + number)
