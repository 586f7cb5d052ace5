"""Arguments and options that several commands share."""

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from gatewise.vocab.errors import GatewiseError

# Typer's own check of a path would report other words and exit code 2.
path_argument = partial(typer.Argument, readable=False)
path_option = partial(typer.Option, readable=False)


def _here(path: Path) -> Path:
    """Refuses a URI, which a path turns into `s3:/bucket`."""
    scheme, colon, rest = str(path).partition(":/")
    if colon and len(scheme) > 1 and scheme.replace("+", "").isalnum() and not path.exists():
        slashes = "///" if scheme == "file" else "//"
        raise GatewiseError(
            f"{scheme}:{slashes}{rest.lstrip('/')}: only gatewise score reads object stores; "
            "copy the files here first"
        )
    return path


Model = Annotated[Path, path_argument(metavar="MODEL", help="A model folder, or a zip of one.")]
Corpus = Annotated[
    Path,
    path_argument(
        metavar="CORPUS",
        callback=_here,
        help="A data file (CSV, TSV, JSON Lines, Parquet, fastText, Excel), or a folder of them.",
    ),
]
Validation = Annotated[Path | None, path_option(help="Rows that choose the best epoch.")]
Test = Annotated[Path | None, path_option(help="Rows to report on at the end.")]
Texts = Annotated[
    list[str], typer.Argument(metavar="TEXT...", help="Texts; - reads lines from stdin.")
]
ConfigFile = Annotated[Path | None, path_option("--config", help="Settings as TOML.")]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="One setting, such as network.units=128."),
]
Rejects = Annotated[
    Path | None,
    path_option(help="Write bad rows to this file, as JSON Lines, instead of stopping."),
]
TextColumnSetting = Annotated[
    str | None,
    typer.Option(help="Column of the text.  [default: text, else sequence, of numbers]"),
]
TextColumn = Annotated[
    str, typer.Option(help="Column of the text; that of sequences of numbers is sequence.")
]
LabelColumn = Annotated[
    str | None,
    typer.Option(
        help="Column of the label or labels, or of the number; or columns of several numbers, such "
        "as price,age.  [default: label, else labels, else value, else values]"
    ),
]
Delimiter = Annotated[
    str | None,
    typer.Option(
        metavar="CHARACTER",
        help="Delimiter of CSV and TSV, such as ; or tab.  [default: found in each file]",
    ),
]
QuotingName = Literal["double", "none"]
Quoting = Annotated[
    QuotingName | None,
    typer.Option(
        help="Whether cells of CSV and TSV may stand in double quotes.  [default: found in each "
        "file]",
    ),
]
Encoding = Annotated[
    str | None,
    typer.Option(help="Encoding of text files, such as cp1252.  [default: found in each file]"),
]
Sheet = Annotated[str | None, typer.Option(help="Sheet of Excel files.  [default: the first]")]
PrecisionName = Literal["fp32", "fp16", "int8"]
Precision = Annotated[
    PrecisionName | None,
    typer.Option(
        "--precision",
        help="How the model's weights are stored.  [default: the most exact in the folder]",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ToolName = Literal["label-studio", "prodigy", "argilla", "doccano"]
Tool = Annotated[
    ToolName | None,
    typer.Option("--format", help="Write texts in the form that this annotation tool imports."),
]
EngineName = Literal["local", "ray"]
Address = Annotated[
    str | None,
    typer.Option(
        "--address", help="Address of a Ray cluster.  [default: one started on this machine]"
    ),
]
