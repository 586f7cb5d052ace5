"""`gatewise serve`: models over HTTP, by processes of this machine or on a Ray cluster."""

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
    engine: Annotated[
        options.EngineName,
        typer.Option(help="What serves: processes of this machine, or Ray Serve."),
    ] = "local",
    address: options.Address = None,
    replicas: Annotated[
        int | None, typer.Option(min=1, help="Replicas on the Ray cluster.  [default: 1]")
    ] = None,
    min_replicas: Annotated[
        int | None,
        typer.Option(min=1, help="Fewest replicas, if their number follows the requests."),
    ] = None,
    max_replicas: Annotated[
        int | None, typer.Option(min=1, help="Most replicas, if their number follows the requests.")
    ] = None,
) -> None:
    """Answer over HTTP; every other setting comes from GATEWISE_* variables."""
    scale = {
        "--replicas": replicas,
        "--min-replicas": min_replicas,
        "--max-replicas": max_replicas,
    }
    if engine == "ray":
        _refuse({"--workers": workers}, "under --engine ray: --replicas says how many there are")
    else:
        _refuse({"--address": address, **scale}, "without --engine ray")
    if replicas:
        _refuse({**scale, "--replicas": None}, "beside --replicas")
    least = replicas or min_replicas or 1
    most = replicas or max_replicas
    if min_replicas and not max_replicas:
        raise typer.BadParameter("--min-replicas: expected --max-replicas beside it")
    if most and most < least:
        raise typer.BadParameter(f"--max-replicas {most}: expected at least --min-replicas {least}")

    given: dict[str, Any] = {"model": models, "host": host, "port": port, "workers": workers}
    given = {name: value for name, value in given.items() if value is not None}
    if engine == "ray":
        # First of all: it is the package that is missing, where one is.
        from gatewise.service.serving.ray.deployment import Scale
        from gatewise.service.serving.ray.serve_on_ray import serve_on_ray
        from gatewise.service.serving.settings import Settings

        serve_on_ray(Settings(**given), address, Scale(least, most or least))
        return

    from gatewise.service.serving.server import serve as serve_models
    from gatewise.service.serving.settings import Settings

    serve_models(Settings(**given))


def _refuse(given: dict[str, Any], where: str) -> None:
    """Refuses options that have no meaning there.

    Raises:
        typer.BadParameter: If one was given.
    """
    for name, value in given.items():
        if value is not None:
            raise typer.BadParameter(f"{name} is not for use {where}")
