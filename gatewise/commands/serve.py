"""`gatewise serve`: models over HTTP."""

from typing import Annotated, Any

import typer

from gatewise import options


def serve(
    models: Annotated[
        list[str],
        options.path_argument(
            metavar="MODEL...",
            help="Model folders, zips of them, or folders of versions; NAME=PATH names one.",
        ),
    ],
    host: Annotated[
        str | None, typer.Option(help="Address to listen on.  [default: 127.0.0.1]")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.  [default: 8000]")] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes that share the port.  [default: 1]")
    ] = None,
) -> None:
    """Answer over HTTP; every other setting comes from GATEWISE_* variables."""
    from service.server import serve as serve_models
    from service.settings import Settings

    given: dict[str, Any] = {"model": models, "host": host, "port": port, "workers": workers}
    serve_models(Settings(**{name: value for name, value in given.items() if value is not None}))
