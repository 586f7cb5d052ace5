"""`gatewise key`: creates an API key for the HTTP service."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from gatewise import command_options


def key(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Owner of the key, written to the file.")
    ],
    role: Annotated[
        Literal["predict", "admin"],
        typer.Option(help="What the key allows: predict, or change the models too."),
    ],
    file: Annotated[
        Path,
        command_options.path_option(
            envvar="GATEWISE_API_KEYS_FILE", help="The file of keys, created if missing."
        ),
    ],
    expires: Annotated[
        datetime | None,
        typer.Option(
            metavar="DATE",
            formats=["%Y-%m-%d"],
            help="Last valid day, such as 2030-12-31, in UTC.",
        ),
    ] = None,
    requests_per_second: Annotated[
        float | None,
        typer.Option(min=0.001, help="Maximum requests a second, instead of the service's."),
    ] = None,
) -> None:
    """Create an API key of the service: print it once and add its hash to a file."""
    from gatewise.service.serving.http.auth.api_keys import Role, add, make_key

    last_day = expires.date() if expires else None
    made, entry = make_key(name, Role(role), last_day, requests_per_second)
    add(file, entry)
    typer.echo(made)
    typer.echo(f"added to {file}, which holds only its hash: store the key now", err=True)
