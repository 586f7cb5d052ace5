"""A model that is swapped under load, and a worker that is killed under load.

Swaps between two versions whose every label and score differ, and looks at each answer: it is
that of one version, whole. Owns the swapping and what is told; the clients are in `closed_loop`,
the end of a worker in `kills`.
"""

import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import bodies
import onnx
import servers
import typer
from asked import ask
from closed_loop import Judge, Seen, driving
from gatewise.service.model.model_folder import (
    read_model_folder,
    seal_model_folder,
    write_json,
    write_model_folder,
)
from gatewise.training.onnx_export.logit_scaling import scale_logits
from gatewise.vocab.errors import GatewiseError
from kills import Killed, killing
from options import TREC6, AsJson, SetFolder, Settings
from process import FailedError
from server_process import Running
from truth import LOST, judge_of, truth

NAME = "model"
"""What the model is called where it is served: the name of its folder."""

KEY_HEADER = "X-API-Key"

_PATIENCE = 30.0  # seconds for a swap to take effect
_BETWEEN = 0.3  # seconds of load between two swaps
_MOMENT = 1.0  # seconds after a kill in which its requests fail
_BEFORE = 3.0  # seconds of load before a kill, and after it

How = Literal["call", "signal"]
Layout = Literal["replaced", "beside"]


@dataclass(frozen=True)
class Versions:
    """Two versions of a model, and where they take turns in being served.

    Attributes:
        folders: The model folder of each, by name; the first is served first.
        served: What the service was started with.
        layout: Whether a version replaces the one before, or is put beside it by its number.
        how: Whether the service is told by a call or by SIGHUP.
        key: The API key that a call needs; empty for a service that needs none.
    """

    folders: Mapping[str, Path]
    served: Path
    layout: Layout = "replaced"
    how: How = "call"
    key: str = ""

    def place(self, number: int) -> str:
        """Puts the version of that turn in its place, whole or not at all; returns its name."""
        name = list(self.folders)[number % len(self.folders)]
        beside = self.layout == "beside"
        with write_model_folder(self.served / str(number + 1) if beside else self.served) as folder:
            shutil.copytree(self.folders[name], folder.path, dirs_exist_ok=True)
        return name

    def tell(self, server: Running) -> None:
        """Has the service take what is there now.

        Raises:
            FailedError: If it refuses.
        """
        if self.how == "signal":
            os.kill(server.pid, signal.SIGHUP)
            return
        path = f"/models/{NAME}/reload"
        answered, said = ask(server.port, path, b"", {KEY_HEADER: self.key})
        if answered not in (200, 202, 204):
            raise FailedError(f"POST {path} answered {answered}: {said[:200]!r}")


@dataclass(frozen=True)
class Swapped:
    """What came of the swaps.

    Attributes:
        counts: How many answers were of which version, and how many of none or of no 200.
        seconds: From telling the service to the first answer of the new version, of each swap.
    """

    counts: Mapping[str, int]
    seconds: Sequence[float]


def changed(model: Path, out: Path) -> Path:
    """A model like another, whose every label has another name and whose every score differs.

    Args:
        model: A model folder.
        out: The folder to write.
    """
    loaded = read_model_folder(model)
    with write_model_folder(out) as folder:
        shutil.copytree(model, folder.path, dirs_exist_ok=True)
        network = scale_logits(onnx.load_model_from_string(folder.model.read_bytes()), 0.5)
        folder.model.write_bytes(network.SerializeToString(deterministic=True))
        names = {index: f"{label}, changed" for index, label in loaded.config.id2label.items()}
        labels = {"id2label": names, "label2id": {name: i for i, name in names.items()}}
        config = loaded.config.model_copy(update=labels)
        write_json(folder.config, config.model_dump(mode="json"))
        seal_model_folder(folder, loaded.manifest)
    return out


def swapping(
    versions: Versions,
    server: Running,
    requests: Sequence[bytes],
    judge: Judge,
    swaps: int,
    connections: int,
) -> Swapped:
    """Swaps again and again under load, waiting each time for the new version to answer.

    Args:
        versions: What is swapped.
        server: The service.
        requests: What the clients ask.
        judge: Of which version an answer is.
        swaps: How often.
        connections: How many clients there are.

    Raises:
        FailedError: If a swap is refused, or does not take effect.
    """
    seconds = []
    with driving(server.port, requests, connections, judge) as seen:
        for number in range(1, swaps + 1):
            time.sleep(_BETWEEN)
            name, start = versions.place(number), time.perf_counter()
            versions.tell(server)
            _wait_for(seen, name, start)
            seconds.append(time.perf_counter() - start)
        time.sleep(_BETWEEN)
    return Swapped(dict(seen.counts), seconds)


def verdicts(
    swapped: Swapped | None, killed: Killed | None, names: Sequence[str]
) -> dict[str, bool]:
    """What was to be shown, and whether it was; `names` are those of the versions."""
    found = {}
    if swapped is not None:
        found["every answer was 200 and of one whole version"] = set(swapped.counts) == set(names)
    if killed is not None:
        others = set(killed.counts) - {*names, LOST}
        found["only the killed worker's requests were lost, and it was replaced"] = (
            killed.lost <= killed.connected and killed.spread_seconds <= _MOMENT and not others
        )
    return found


def _wait_for(seen: Seen, name: str, start: float) -> None:
    while seen.moments.get(name, (0.0, 0.0))[1] < start:
        if time.perf_counter() - start > _PATIENCE:
            raise FailedError(f"no answer of {name} within {_PATIENCE:.0f} s of the swap to it")
        time.sleep(0.005)


def main(  # noqa: PLR0913, PLR0917 — an argument for each option
    model: Annotated[Path, typer.Argument(help="The model folder that is served first.")],
    folder: SetFolder = TREC6,
    swaps: Annotated[int, typer.Option(min=0, help="How often the model is swapped.")] = 20,
    how: Annotated[How, typer.Option("--by", help="How the service is told.")] = "call",
    layout: Annotated[
        Layout, typer.Option(help="Whether a version replaces the one before, or is beside it.")
    ] = "replaced",
    connections: Annotated[int, typer.Option(min=1, help="Clients.")] = 32,
    workers: Annotated[int, typer.Option(min=0, help="Workers; 0 kills none.")] = 2,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """Swap the model and kill a worker under load, and tell what the clients saw."""
    swapped = killed = None
    try:
        given = servers.settings(settings or [])
        texts = bodies.texts(folder, 500)
        with tempfile.TemporaryDirectory() as scratch:
            folders = {"first": model, "second": changed(model, Path(scratch) / "second")}
            judge = judge_of({name: truth(path, texts) for name, path in folders.items()})
            if swaps:
                keys = Path(scratch) / "keys"
                key = servers.new_key(keys) if how == "call" else ""
                needed = servers.settings([f"API_KEYS_FILE={keys}"] if key else [])
                versions = Versions(folders, Path(scratch) / NAME, layout, how, key)
                versions.place(0)
                service = servers.gatewise(versions.served, {**given, **needed})
                header = [f"{KEY_HEADER}: {key}"] if key else []
                with service.started() as server:
                    asked = [service.request(server.port, text, header) for text in texts]
                    swapped = swapping(versions, server, asked, judge, swaps, connections)
            if workers:
                more = servers.settings([f"WORKERS={workers}"])
                service = servers.gatewise(model, {**given, **more})
                with service.started() as server:
                    asked = [service.request(server.port, text) for text in texts]
                    killed = killing(server, service.ready, asked, judge, connections, _BEFORE)
    except (GatewiseError, FailedError, OSError) as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from None
    shown = verdicts(swapped, killed, list(folders) if swapped else ["first"])
    if as_json:
        measured = {"swapped": swapped, "killed": killed}
        found = {name: each and asdict(each) for name, each in measured.items()}
        typer.echo(json.dumps({**found, "verdicts": shown}))
        return
    if swapped:
        typer.echo(
            f"{len(swapped.seconds)} swaps by {how}: {_told(swapped.counts)}; the new version "
            f"answered after {max(swapped.seconds):.2f} s at the latest."
        )
    if killed:
        typer.echo(
            f"A worker with {killed.connected} clients was killed: {_told(killed.counts)}; "
            f"{killed.lost} requests were lost, the last after {killed.spread_seconds:.2f} s; it "
            f"was replaced after {killed.replaced_seconds:.2f} s."
        )
    for what, met in shown.items():
        typer.echo(f"{what}: {'met' if met else 'not met'}")


def _told(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name}: {count:,}" for name, count in sorted(counts.items()))


if __name__ == "__main__":
    typer.run(main)
