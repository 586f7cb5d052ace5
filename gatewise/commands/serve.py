"""`gatewise serve`: a model over HTTP."""

from typing import Annotated, Any

import typer

from gatewise import options


def serve(
    model: options.Model,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on.  [default: 127.0.0.1]")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.  [default: 8000]")] = None,
) -> None:
    """Answer over HTTP; every other setting comes from GATEWISE_* variables."""
    from service.server import serve as serve_model
    from service.settings import Settings

    given: dict[str, Any] = {"model": model, "host": host, "port": port}
    serve_model(Settings(**{name: value for name, value in given.items() if value is not None}))
