"""Where the network's time goes: by operator and by length, against the arithmetic of its cells.

Of each operator the median over the runs, by onnxruntime's profile of one thread, on full batches
of random tokens. The arithmetic is that of the recurrent cells' products of matrices at the rate of
a large product on the same core.
"""

import json
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Annotated

import numpy as np
import onnxruntime as ort
import typer

from benchmarks.lib.command import AsJson, Model, command
from benchmarks.lib.report import Row, report
from gatewise.service.model.classifier import FULL_BATCH_TEXTS, FULL_BATCH_TOKENS
from gatewise.service.model.model_folder import Artifact, read_model_folder
from gatewise.service.model.onnx_validation.onnx_parser import recurrent_part

_LENGTHS = (8, 36, 128, 512)
_GATES = {"lstm": 4, "gru": 3, "rnn": 1}
_SHOWN = ("LSTM", "GRU", "RNN", "ReduceMax", "Add", "Mul", "Where", "TopK", "Gather")
_SIDE = 512
"""Rows and columns of the large matrices."""


def profile(model: bytes, rows: int, length: int, vocab_size: int, runs: int) -> dict[str, float]:
    """The median microseconds of each operator in a run; nodes of one type are added."""
    generator = np.random.default_rng(1)
    ids = generator.integers(4, vocab_size, (rows, length))
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    with tempfile.TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        for _ in range(runs):
            session.run(["logits"], inputs)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    of_node: dict[tuple[str, str], list[float]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("kernel_time"):
            of_node[event["args"]["op_name"], event["name"]].append(event["dur"])
    found: dict[str, float] = defaultdict(float)
    for (operator, _), durations in of_node.items():
        found[operator] += float(np.median(durations))
    return found


def peak(seconds: float = 0.5) -> float:
    """Billions of operations a second in a product of large matrices, on one thread."""
    from threadpoolctl import threadpool_limits  # noqa: PLC0415 — of the extra `benchmark`

    matrix = np.random.default_rng(1).random((_SIDE, _SIDE), dtype=np.float32)
    best, end = np.inf, time.perf_counter() + seconds
    with threadpool_limits(1):
        while time.perf_counter() < end:
            start = time.perf_counter()
            matrix @ matrix
            best = min(best, time.perf_counter() - start)
    return 2 * _SIDE**3 / best / 1e9


def arithmetic(loaded: Artifact) -> int:
    """Operations of the cells' products for a token; the layers after the first read states."""
    network = loaded.config.gatewise.network
    directions = 2 if network.direction == "bidirectional" else 1
    gates, units, width = _GATES[network.cell], network.units, network.embedding_size
    total = 0
    for _ in range(network.layers):
        total += 2 * gates * units * (width + units) * directions
        width = units * directions
    return total


@command
def main(
    model: Model,
    runs: Annotated[int, typer.Option(min=1, help="Runs of each length.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Profile the network by operator at several lengths."""
    loaded = read_model_folder(model)
    rate, operations = peak(), arithmetic(loaded)
    recurrent = recurrent_part(loaded.model)
    table: list[Row] = []
    for length in _LENGTHS:
        rows = min(FULL_BATCH_TEXTS, FULL_BATCH_TOKENS // length)
        size = rows, length, loaded.config.vocab_size, runs
        whole, part = profile(loaded.model, *size), profile(recurrent, *size)
        total = sum(whole.values())
        table.append(
            {
                "tokens": length,
                "µs a text": total / rows,
                "recurrent path alone, µs": sum(part.values()) / rows,
                "arithmetic at the peak, µs": operations * length / rate / 1e3,
                **{f"{name}, %": 100 * whole[name] / total for name in _SHOWN if name in whole},
            }
        )
    facts = {
        "peak of one core, billion operations a second": rate,
        "operations a token": operations,
    }
    report({"operators": table}, facts=facts, as_json=as_json)


if __name__ == "__main__":
    typer.run(main)
