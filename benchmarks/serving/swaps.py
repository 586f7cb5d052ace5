"""A model that is swapped again and again under load, by a call or by a signal.

The two versions differ in every label and in every score, so an answer shows of which it is, or
that it is a mixture.
"""

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import onnx
import typer

from benchmarks.lib import corpora
from benchmarks.lib.command import (
    DATA,
    AsJson,
    BenchmarkError,
    CorpusFolder,
    Model,
    ServiceSettings,
    command,
)
from benchmarks.lib.http_client import send
from benchmarks.lib.report import report
from benchmarks.lib.request_formats import expected_scores
from benchmarks.lib.server_process import RunningServer
from benchmarks.serving import servers
from benchmarks.serving.closed_loop import Answers, Judge, driving, judge_versions
from gatewise.service.model.model_folder import (
    read_model_folder,
    seal_model_folder,
    write_json,
    write_model_folder,
)
from gatewise.service.serving.http.auth import api_keys
from gatewise.training.onnx_export.logit_scaling import scale_logits

NAME = "model"
"""What the model is called where it is served: the name of its folder."""

KEY_HEADER = "X-API-Key"

_PATIENCE = 30.0  # seconds for a swap to take effect
_BETWEEN = 0.3  # seconds of load between two swaps

Trigger = Literal["call", "signal"]
Layout = Literal["replaced", "numbered"]


@dataclass(frozen=True)
class Versions:
    """Two versions of a model that take turns in being served."""

    folders: Mapping[str, Path]  # the model folder of each, by name; the first is served first
    served: Path  # the folder that the service was started with
    layout: Layout = "replaced"
    trigger: Trigger = "call"
    key: str = ""  # that a call needs

    def place(self, number: int) -> str:
        """Puts the version of that turn in its place atomically; returns its name."""
        name = list(self.folders)[number % len(self.folders)]
        target = self.served / str(number + 1) if self.layout == "numbered" else self.served
        with write_model_folder(target) as folder:
            shutil.copytree(self.folders[name], folder.path, dirs_exist_ok=True)
        return name

    def reload(self, server: RunningServer) -> None:
        """Has the service load what is there now."""
        if self.trigger == "signal":
            os.kill(server.pid, signal.SIGHUP)
            return
        path = f"/models/{NAME}/reload"
        status, body = send(server.port, path, b"", {KEY_HEADER: self.key})
        if status not in (200, 202, 204):
            raise BenchmarkError(f"POST {path} answered {status}: {body[:200]!r}")


def changed(model: Path, out: Path) -> Path:
    """Writes a model like another, whose every label has another name and every score differs."""
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


def swap(
    versions: Versions,
    server: RunningServer,
    requests: Sequence[bytes],
    judge: Judge,
    swaps: int,
    connections: int,
) -> tuple[Mapping[str, int], list[float]]:
    """Swaps under load, waiting each time for the new version to answer.

    Returns:
        How many answers there were of each name, and the seconds from each reload to the first
        answer of the new version.
    """
    seconds = []
    with driving(server.port, requests, connections, judge) as answers:
        for number in range(1, swaps + 1):
            time.sleep(_BETWEEN)
            name, start = versions.place(number), time.perf_counter()
            versions.reload(server)
            _wait_for(answers, name, start)
            seconds.append(time.perf_counter() - start)
        time.sleep(_BETWEEN)
    return dict(answers.counts), seconds


def _wait_for(answers: Answers, name: str, start: float) -> None:
    while answers.last.get(name, 0.0) < start:
        if time.perf_counter() - start > _PATIENCE:
            raise BenchmarkError(f"no answer of {name} within {_PATIENCE:.0f} s of the swap to it")
        time.sleep(0.005)


@command
def main(
    model: Model,
    corpus: CorpusFolder = DATA / "trec6",
    swaps: Annotated[int, typer.Option(min=1, help="How often the model is swapped.")] = 20,
    trigger: Annotated[Trigger, typer.Option("--by", help="What makes it reload.")] = "call",
    layout: Annotated[
        Layout, typer.Option(help="Whether a version replaces the one before, or has a number.")
    ] = "replaced",
    connections: Annotated[int, typer.Option(min=1, help="Clients.")] = 32,
    settings: ServiceSettings = None,
    as_json: AsJson = False,
) -> None:
    """Swap the model under load, and print what the clients saw."""
    texts = corpora.test_texts(corpus, 500)
    with tempfile.TemporaryDirectory() as scratch:
        folders = {"first": model, "second": changed(model, Path(scratch) / "second")}
        judge = judge_versions(
            {name: expected_scores(each, texts) for name, each in folders.items()}
        )
        assignments, headers, key = list(settings or []), [], ""
        if trigger == "call":
            key, entry = api_keys.make_key("benchmark", api_keys.Role.ADMIN)
            api_keys.add(Path(scratch) / "keys", entry)
            assignments.append(f"API_KEYS_FILE={Path(scratch) / 'keys'}")
            headers.append(f"{KEY_HEADER}: {key}")
        versions = Versions(folders, Path(scratch) / NAME, layout, trigger, key)
        versions.place(0)
        service = servers.gatewise(versions.served, servers.service_variables(assignments))
        with service.started() as server:
            requests = [service.request(server.port, text, headers) for text in texts]
            counts, seconds = swap(versions, server, requests, judge, swaps, connections)
    report(
        {"answers": [{"version": name, "answers": count} for name, count in counts.items()]},
        facts={"swaps": swaps, "by": trigger, "slowest swap, s": max(seconds)},
        verdicts={"every answer was 200 and of one version": set(counts) == set(folders)},
        as_json=as_json,
    )


if __name__ == "__main__":
    typer.run(main)
