"""A benchmark as a command: common options, and errors that are one line on standard error."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, ParamSpec

import typer

from gatewise.vocab.errors import GatewiseError

ROOT = Path(__file__).parents[2]
"""The checkout."""

DATA = Path("../shared/data")
"""Where the corpora are, seen from the checkout: a folder for each."""

Model = Annotated[Path, typer.Argument(help="A model folder.")]
CorpusFolder = Annotated[Path, typer.Option("--corpus", help="Folder of the corpus.")]
ServiceSettings = Annotated[
    list[str] | None, typer.Option("--set", help="A setting of the service, NAME=VALUE.")
]
TrainingSettings = Annotated[
    list[str] | None, typer.Option("--set", help="A setting of training, section.key=value.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON in place of the table.")]

P = ParamSpec("P")


class BenchmarkError(Exception):
    """Something that is to be measured is missing, fails, or gives a wrong answer."""


def command(main: Callable[P, None]) -> Callable[P, None]:
    """A command that reports expected errors as one line, and then exits with 1."""

    @functools.wraps(main)
    def reporting(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            main(*args, **kwargs)
        except (GatewiseError, BenchmarkError, OSError) as error:
            typer.echo(f"Error: {error}", err=True)
            raise typer.Exit(1) from None

    return reporting
