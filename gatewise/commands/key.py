"""`gatewise key`: a key for the HTTP service, shown once."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from gatewise import options


def key(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose key it is, for the file.")],
    role: Annotated[
        Literal["predict", "admin"],
        typer.Option(help="What it allows: asking the models, or changing them too."),
    ],
    file: Annotated[
        Path,
        options.path_option(
            envvar="GATEWISE_API_KEYS_FILE", help="The file of keys, made if it is not there."
        ),
    ],
    expires: Annotated[
        datetime | None,
        typer.Option(
            metavar="DATE",
            formats=["%Y-%m-%d"],
            help="Last day on which it is taken, such as 2030-12-31, in UTC.",
        ),
    ] = None,
) -> None:
    """Make an API key of the service: printed this once, its hash added to a file."""
    from gatewise.service.serving.http.auth.api_keys import Role, add, make_key

    made, entry = make_key(name, Role(role), expires.date() if expires else None)
    add(file, entry)
    typer.echo(made)
    typer.echo(f"added to {file}, which keeps its hash only: store the key now", err=True)
