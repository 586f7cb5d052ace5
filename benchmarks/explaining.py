"""What `/explain` costs beside `/predict`, on real texts of several lengths.

Both are asked about the same text one after the other, over one connection and in process, so that
what else the machine does meanwhile bears on both alike. Medians are told, of the ratio too.
"""

import http.client
import json
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import bodies
import servers
import typer
from gatewise.service.model.classifier import Classifier
from gatewise.service.model.explanation import explain
from gatewise.vocab.corpus.bad_row_policy import StopAtBadRows
from gatewise.vocab.corpus.corpus_reader import read_texts
from gatewise.vocab.errors import GatewiseError
from process import FailedError
from rich import box
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Band:
    """Texts of about the same length.

    Attributes:
        tokens: The most tokens that one of them may have.
        texts: The texts.
    """

    tokens: int
    texts: Sequence[str]


@dataclass(frozen=True)
class Row:
    """What was measured of a band; times are medians.

    Attributes:
        tokens: The median number of tokens of its texts.
        texts: How many texts there were.
        predict_ms: Milliseconds that a prediction takes, in process.
        explain_ms: Milliseconds that an explanation takes, in process.
        ratio: How many predictions an explanation is worth.
        served_predict_ms: Milliseconds from a request to `/predict` to its answer.
        served_explain_ms: Milliseconds from a request to `/explain` to its answer.
        served_ratio: How many of those requests one of these is worth.
    """

    tokens: int
    texts: int
    predict_ms: float
    explain_ms: float
    ratio: float
    served_predict_ms: float
    served_explain_ms: float
    served_ratio: float


def banded(
    classifier: Classifier, texts: Iterable[str], lengths: Sequence[int], most: int
) -> list[Band]:
    """The first texts of each length, up to `most` of each.

    Args:
        classifier: Cuts texts into tokens; those that it has to shorten have its greatest length.
        texts: The texts.
        lengths: The most tokens of each band, ascending; each begins behind the one before.
        most: Texts of a band.
    """
    found: list[list[str]] = [[] for _ in lengths]
    for text in texts:
        (encoded,) = classifier.encode([text])
        tokens = len(encoded.ids)
        place = next((place for place, most in enumerate(lengths) if tokens <= most), None)
        if place is not None and not encoded.is_empty and len(found[place]) < most:
            found[place].append(text)
        if all(len(band) == most for band in found):
            break
    return [Band(tokens, band) for tokens, band in zip(lengths, found, strict=True) if band]


def measure(classifier: Classifier, port: int, band: Band, rounds: int) -> Row:
    """Times both ways to ask about each text of a band.

    Args:
        classifier: The model.
        port: Where it is served, on this machine.
        band: The texts.
        rounds: How often each is asked about.

    Raises:
        FailedError: If the service refuses.
    """
    times: list[tuple[float, float, float, float]] = []
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        for text in band.texts:
            body = bodies.hugging_face(text)
            ways = (
                partial(classifier.predict_proba, [text]),
                partial(_explained, classifier, text),
                partial(_asked, connection, "/predict", body),
                partial(_asked, connection, "/explain", body),
            )
            for way in ways:
                way()  # the first time is slower than the others
            times += [tuple(_timed(way) for way in ways) for _ in range(rounds)]  # type: ignore[misc]
    finally:
        connection.close()
    lengths = [len(encoded.ids) for encoded in classifier.encode(band.texts)]
    predict, explained, asked, why = (
        1000 * statistics.median(each) for each in zip(*times, strict=True)
    )
    return Row(
        round(statistics.median(lengths)),
        len(band.texts),
        predict,
        explained,
        statistics.median(one[1] / one[0] for one in times),
        asked,
        why,
        statistics.median(one[3] / one[2] for one in times),
    )


def _explained(classifier: Classifier, text: str) -> None:
    explain(classifier, classifier.locate([text]), None)


def _asked(connection: http.client.HTTPConnection, path: str, body: bytes) -> None:
    connection.request("POST", path, body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    said = answer.read()
    if answer.status != 200:
        raise FailedError(f"{path} answered {answer.status}: {said[:200]!r}")


def _timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main(
    model: Annotated[Path, typer.Argument(help="A model folder.")],
    corpora: Annotated[list[Path], typer.Argument(help="Corpora, whose texts are asked about.")],
    lengths: Annotated[
        str, typer.Option(help="The most tokens of each row's texts, with commas.")
    ] = "8,16,32,64,128,256,512",
    most: Annotated[int, typer.Option(min=1, help="Texts of a row.")] = 30,
    rounds: Annotated[int, typer.Option(min=1, help="How often each is asked about.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON object.")] = False,
) -> None:
    """Time explanations beside predictions."""
    try:
        classifier = Classifier.load(model)
        bands = banded(
            classifier,
            (text for corpus in corpora for text in read_texts(corpus, bad_rows=StopAtBadRows())),
            sorted(int(length) for length in lengths.split(",")),
            most,
        )
        with servers.gatewise(model).started() as server:
            rows = [measure(classifier, server.port, band, rounds) for band in bands]
    except (GatewiseError, FailedError, OSError) as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps([asdict(row) for row in rows]))
        return
    table = Table(box=box.SIMPLE)
    for name in ("tokens", "texts", "a prediction, ms", "an explanation, ms", "times"):
        table.add_column(name, justify="right")
    for name in ("/predict, ms", "/explain, ms", "times"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            *(f"{count:,}" for count in (row.tokens, row.texts)),
            *(f"{figure:.2f}" for figure in (row.predict_ms, row.explain_ms)),
            f"{row.ratio:.1f}",
            *(f"{figure:.2f}" for figure in (row.served_predict_ms, row.served_explain_ms)),
            f"{row.served_ratio:.1f}",
        )
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
