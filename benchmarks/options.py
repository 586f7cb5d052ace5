"""Arguments and options that several benchmarks of the service share."""

from pathlib import Path
from typing import Annotated

import typer

TREC6 = Path("../shared/data/trec6")

Model = Annotated[Path, typer.Argument(help="The model folder that is served.")]
SetFolder = Annotated[Path, typer.Option("--set-folder", help="Whose test texts.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="A setting of the service, NAME=VALUE.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Write one JSON object.")]
