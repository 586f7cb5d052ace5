"""What one update costs at one point: so many rows, tokens, words and labels.

    python benchmarks/growth_point.py POINT

Texts are random numbers, stored as `gatewise train` stores texts, and every update is one of
`gatewise.training.fit`. A process measures one point, so that its peak memory is that point's.
Prints one JSON object.
"""

import itertools
import json
import resource
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

_STORED = 10_000  # texts made at a time
_FIRST_ID = 3  # after padding, the unknown token and the begin mark


@dataclass(frozen=True)
class Point:
    """What is measured.

    Attributes:
        rows: Texts.
        tokens: Mean tokens of a text; each text has between half of it and one and a half.
        vocab: Tokens in the dictionary.
        classes: Labels.
        settings: Further settings of the run, as `section.key=value`.
        windows: How many times a few updates are timed.
        seconds: About how long each time.
        memory: Most bytes that the process may take for data; None for no bound.
    """

    rows: int
    tokens: int
    vocab: int
    classes: int
    settings: tuple[str, ...] = ()
    windows: int = 3
    seconds: float = 1.0
    memory: int | None = None


@dataclass(frozen=True)
class Cost:
    """What was measured.

    Attributes:
        texts: Texts a second, by the clock, median of the windows.
        processor_ms: Milliseconds of the processor for a text, median of the windows.
        peak_mib: The process's peak resident set size.
        parameters: Numbers in the network.
        first_seconds: Of the first update, in which functions are traced.
    """

    texts: float
    processor_ms: float
    peak_mib: float
    parameters: int
    first_seconds: float


def windows_of(
    point: Point, random: np.random.Generator
) -> Iterator[tuple[Sequence[NDArray[np.int64]], NDArray[np.int32]]]:
    """Texts and labels, some thousand at a time.

    An id's frequency is one over its rank, as words' frequencies roughly are (Zipf's law).
    """
    for start in range(0, point.rows, _STORED):
        count = min(_STORED, point.rows - start)
        lengths = random.integers(max(1, point.tokens // 2), point.tokens * 3 // 2 + 1, count)
        share = random.random(int(lengths.sum()))
        ranks = np.exp(share * np.log(point.vocab - _FIRST_ID + 1)).astype(np.int64)
        ids = np.split(ranks + _FIRST_ID - 1, np.cumsum(lengths)[:-1])
        yield ids, random.integers(0, point.classes, count).astype(np.int32)


def measure(point: Point) -> Cost:
    """Builds the network of the point and times its updates.

    Raises:
        GatewiseError: If Gatewise refuses a network of these sizes.
    """
    import tensorflow as tf  # noqa: PLC0415 — slow to import, and sizes are refused without it
    from gatewise.training.data import examples  # noqa: PLC0415
    from gatewise.training.fit import devices  # noqa: PLC0415
    from gatewise.training.fit.dataset import Batches, tensors  # noqa: PLC0415
    from gatewise.training.fit.loss import make_loss  # noqa: PLC0415
    from gatewise.training.fit.train_step import Trainer  # noqa: PLC0415
    from gatewise.training.network.build import build  # noqa: PLC0415

    config, shape = _sizes(point)
    if config.training.deterministic:
        tf.config.experimental.enable_op_determinism()
    with TemporaryDirectory() as folder:
        rows = examples.store(windows_of(point, np.random.default_rng(1)), Path(folder))
        devices.set_operation_threads(config.training.threads)
        with devices.strategy().scope():
            model = build(config.network, shape, config.training.seed)
        loss = make_loss(config.training, rows, point.classes, multi_label=False)
        trainer = Trainer(model, loss, config.training, config.training.averaging)
        batches = Batches(rows, config.training.batch_size, config.training.seed)
        numbers = itertools.chain.from_iterable(batches.epoch(n) for n in itertools.count(1))
        stream = iter(tensors(rows, numbers, loss.row_weights))

        def update() -> int:
            batch = next(stream)
            trainer.update(batch, 1e-3)
            return int(batch[0].shape[0])

        began = time.perf_counter()
        update()
        first = time.perf_counter() - began
        update()
        began = time.perf_counter()
        update()
        updates = max(1, min(50, round(point.seconds / (time.perf_counter() - began))))
        timed = [_timed(update, updates) for _ in range(point.windows)]
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return Cost(
        texts=statistics.median(rate for rate, _ in timed),
        processor_ms=statistics.median(ms for _, ms in timed),
        peak_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20,
        parameters=model.count_params(),
        first_seconds=first,
    )


def _sizes(point: Point) -> tuple[Any, Any]:
    """Config and shape, once Gatewise has agreed to them."""
    from gatewise.training.config import config as configs  # noqa: PLC0415
    from gatewise.training.network import parameters  # noqa: PLC0415
    from gatewise.training.network.shape import Shape  # noqa: PLC0415

    config = configs.load(assignments=point.settings)
    network = config.network
    width = network.width_of_ngrams(point.classes)
    shape = Shape(
        point.vocab,
        point.classes,
        network.ngram_lengths(config.tokens.unit),
        buckets=network.ngram_buckets(point.rows * point.tokens, width),
        ngram_width=width,
    )
    parameters.check_size(network, config.tokens, shape)
    return config, shape


def _timed(update: Any, updates: int) -> tuple[float, float]:
    began, processor = time.perf_counter(), time.process_time()
    texts = sum(update() for _ in range(updates))
    seconds, processor = time.perf_counter() - began, time.process_time() - processor
    return texts / seconds, 1000 * processor / texts


def main(given: str) -> None:
    """See the module."""
    values = json.loads(given)
    point = Point(**{**values, "settings": tuple(values["settings"])})
    if point.memory is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (point.memory, point.memory))
    try:
        sys.stdout.write(json.dumps(asdict(measure(point))) + "\n")
    except Exception as error:
        # The first line tells what was wrong; TensorFlow adds many.
        sys.exit(f"{type(error).__name__}: {str(error).splitlines()[0][:200]}")


if __name__ == "__main__":
    main(sys.argv[1])
