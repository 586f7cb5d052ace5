"""`gatewise serve`: serves models over HTTP, on this machine or on a Ray cluster."""

import gc
import os
from typing import Annotated, Any

import typer
from pydantic import BaseModel

from gatewise import command_options


def serve(
    models: Annotated[
        list[str] | None,
        command_options.path_argument(
            metavar="MODEL...",
            help="Model folders, zips of them, or folders of versions; NAME=PATH names one. "
            "GATEWISE_MODEL if there is none.",
        ),
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on.  [default: 127.0.0.1]")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.  [default: 8000]")] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes that share the port.  [default: 1]")
    ] = None,
    engine: Annotated[
        command_options.EngineName,
        typer.Option(help="What serves: processes of this machine, or Ray Serve."),
    ] = "local",
    address: command_options.Address = None,
    replicas: Annotated[
        int | None, typer.Option(min=1, help="Replicas on the Ray cluster.  [default: 1]")
    ] = None,
    min_replicas: Annotated[
        int | None,
        typer.Option(min=1, help="Minimum number of replicas when autoscaling."),
    ] = None,
    max_replicas: Annotated[
        int | None, typer.Option(min=1, help="Maximum number of replicas when autoscaling.")
    ] = None,
) -> None:
    """Answer over HTTP; every other setting comes from GATEWISE_* variables."""
    scale = {
        "--replicas": replicas,
        "--min-replicas": min_replicas,
        "--max-replicas": max_replicas,
    }
    if engine == "ray":
        _refuse({"--workers": workers}, "with --engine ray: use --replicas")
    else:
        _refuse({"--address": address, **scale}, "without --engine ray")
    if replicas:
        _refuse({**scale, "--replicas": None}, "together with --replicas")
    low = replicas or min_replicas or 1
    high = replicas or max_replicas
    if min_replicas and not max_replicas:
        raise typer.BadParameter("--min-replicas: expected --max-replicas too")
    if high and high < low:
        raise typer.BadParameter(f"--max-replicas {high}: expected at least --min-replicas {low}")

    if not models and not os.environ.get("GATEWISE_MODEL"):
        raise typer.BadParameter("expected a MODEL, here or in GATEWISE_MODEL")
    values: dict[str, Any] = {
        "model": models or None,
        "host": host,
        "port": port,
        "workers": workers,
    }
    values = {name: value for name, value in values.items() if value is not None}
    if engine == "ray":
        # Imported first, so that a missing package is reported before anything else.
        from gatewise.service.serving.ray.deployment import Scale
        from gatewise.service.serving.ray.serve_on_ray import serve_on_ray
        from gatewise.service.serving.settings import Settings

        serve_on_ray(Settings(**values), address, Scale(low, high or low))
        return

    # What the start imports and loads stays, and collecting garbage meanwhile takes a tenth of the
    # time. The server turns it on again.
    gc.disable()
    # Most schemas are FastAPI's, for the OpenAPI document, and building them takes a sixth of the
    # time: each is built when it is first needed.
    BaseModel.model_config["defer_build"] = True
    from gatewise.service.serving.server import serve as serve_models
    from gatewise.service.serving.settings import Settings

    serve_models(Settings(**values))


def _refuse(values: dict[str, Any], where: str) -> None:
    """Refuses options that have no effect in this combination."""
    for name, value in values.items():
        if value is not None:
            raise typer.BadParameter(f"{name} has no effect {where}")
