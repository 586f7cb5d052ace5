"""What a token costs of a text that comes in pieces, beside asking about the whole text again.

Real texts, one after another, are fed word by word, and some words are timed once there are so
many tokens before them; beside it the classifier is asked about the text so far, as without a step
network it would have to be after every word.
"""

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from gatewise.service.model.classifier import Classifier
from gatewise.service.model.model_folder import read_model_folder
from gatewise.service.model.streaming_classifier import StreamingClassifier
from gatewise.vocab.corpus.bad_row_policy import StopAtBadRows
from gatewise.vocab.corpus.corpus_reader import read_texts
from rich import box
from rich.console import Console
from rich.table import Table

AROUND = 20
"""Words that are timed at each length."""


@dataclass(frozen=True)
class Row:
    """What was measured at one length.

    Attributes:
        tokens: Tokens of the text so far.
        feed_us: Median microseconds to feed one word more, with its tokenization.
        step_us: Median microseconds of the network for one token.
        again_us: Median microseconds to ask about the whole text so far.
    """

    tokens: int
    feed_us: float
    step_us: float
    again_us: float


def measure(folder: Path, words: list[str], lengths: list[int], rounds: int) -> list[Row]:
    """Times the words around each length.

    Args:
        folder: A model that reads forward.
        words: Enough words for the longest.
        lengths: How many tokens the text has by then, ascending.
        rounds: How often the text is fed.

    Raises:
        ValueError: If the scores are not those of the classifier.
    """
    loaded = read_model_folder(folder)
    classifier, streaming = Classifier(loaded), StreamingClassifier(loaded)
    rows = []
    for length in lengths:
        feeds: list[float] = []
        steps: list[float] = []
        again: list[float] = []
        for _ in range(rounds):
            stream, coming, text = streaming.stream(), iter(words), ""
            while stream.tokens < length:
                word = f"{next(coming)} "
                stream.feed(word)
                text += word
            # One after the other: each has the processor's caches as it leaves them itself.
            for word in islice(coming, AROUND):
                feeds.append(_timed(partial(stream.feed, f"{word} ")))
                text += f"{word} "
            ask = partial(streaming.read, 7, streaming.start)
            steps += [_timed(ask) for _ in range(AROUND)]
            again += [_timed(partial(classifier.predict_proba, [text])) for _ in range(3)]
            expected = classifier.predict_proba([text])[0]
            if np.abs(stream.end().scores - expected).max() > 1e-5:
                raise ValueError(f"after {stream.tokens} tokens the scores are not the text's")
        medians = (1e6 * statistics.median(times) for times in (feeds, steps, again))
        rows.append(Row(length, *medians))
    return rows


def _timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main(
    model: Annotated[Path, typer.Argument(help="A model folder, network.direction=forward.")],
    texts: Annotated[Path, typer.Argument(help="A corpus, whose texts are fed.")],
    lengths: Annotated[str, typer.Option(help="Tokens, with commas.")] = "10,100,1000",
    rounds: Annotated[int, typer.Option(min=1, help="How often.")] = 9,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Times a word more of a text at several lengths."""
    wanted = sorted(int(length) for length in lengths.split(","))
    words: list[str] = []
    for text in read_texts(texts, bad_rows=StopAtBadRows()):
        words += text.split()
        if len(words) > 2 * wanted[-1] + 100:
            break
    rows = measure(model, words, wanted, rounds)
    if as_json:
        typer.echo(json.dumps([asdict(row) for row in rows]))
        return
    table = Table(box=box.SIMPLE)
    names = ("tokens so far", "one word more, µs", "one token, µs", "the whole again, µs")
    for name in names:
        table.add_column(name, justify="right")
    for row in rows:
        figures = (row.feed_us, row.step_us, row.again_us)
        table.add_row(f"{row.tokens:,}", *(f"{figure:,.0f}" for figure in figures))
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
