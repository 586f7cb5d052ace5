"""What an explanation costs beside a prediction, on real texts of several lengths.

Both are asked for the same text one after the other, over one connection and in process, so that
what else the machine does bears on both alike. All figures are medians, the ratio too.
"""

import http.client
import statistics
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.lib.command import AsJson, BenchmarkError, Model, command
from benchmarks.lib.report import Row, report
from benchmarks.lib.request_formats import hugging_face_body
from benchmarks.lib.timing import seconds
from benchmarks.serving import servers
from gatewise.service.model.classifier import Classifier
from gatewise.service.model.explanation import explain
from gatewise.vocab.corpus.bad_row_policy import StopAtBadRows
from gatewise.vocab.corpus.corpus_reader import read_texts


def by_length(
    classifier: Classifier, texts: Iterable[str], lengths: Sequence[int], limit: int
) -> list[list[str]]:
    """The first texts of each length, `limit` of each; lengths are the most tokens, ascending."""
    found: list[list[str]] = [[] for _ in lengths]
    for text in texts:
        (encoded,) = classifier.encode([text])
        place = next((at for at, most in enumerate(lengths) if len(encoded.ids) <= most), None)
        if place is not None and not encoded.is_empty and len(found[place]) < limit:
            found[place].append(text)
        if all(len(group) == limit for group in found):
            break
    return [group for group in found if group]


def measure(classifier: Classifier, port: int, texts: Sequence[str], rounds: int) -> Row:
    """Times the prediction and the explanation of each text, in process and over HTTP."""
    times: list[list[float]] = []
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        for text in texts:
            body = hugging_face_body(text)
            calls = (
                partial(classifier.predict_proba, [text]),
                partial(_explain, classifier, text),
                partial(_post, connection, "/predict", body),
                partial(_post, connection, "/explain", body),
            )
            for call in calls:
                call()  # the first time is slower than the others
            times += [[1000 * seconds(call) for call in calls] for _ in range(rounds)]
    finally:
        connection.close()
    predict, explained, served_predict, served_explain = map(
        statistics.median, zip(*times, strict=True)
    )
    return {
        "tokens": round(statistics.median(len(each.ids) for each in classifier.encode(texts))),
        "texts": len(texts),
        "a prediction, ms": predict,
        "an explanation, ms": explained,
        "ratio": statistics.median(one[1] / one[0] for one in times),
        "/predict, ms": served_predict,
        "/explain, ms": served_explain,
        "ratio over HTTP": statistics.median(one[3] / one[2] for one in times),
    }


def _explain(classifier: Classifier, text: str) -> None:
    explain(classifier, classifier.locate([text]), None)


def _post(connection: http.client.HTTPConnection, path: str, body: bytes) -> None:
    connection.request("POST", path, body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    content = response.read()
    if response.status != 200:
        raise BenchmarkError(f"{path} answered {response.status}: {content[:200]!r}")


@command
def main(
    model: Model,
    corpora: Annotated[list[Path], typer.Argument(help="Corpora with the texts.")],
    lengths: Annotated[
        str, typer.Option(help="The most tokens of each row's texts, separated by commas.")
    ] = "8,16,32,64,128,256,512",
    limit: Annotated[int, typer.Option("--texts", min=1, help="Texts of a row.")] = 30,
    rounds: Annotated[int, typer.Option(min=1, help="How often each is timed.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Time explanations beside predictions."""
    classifier = Classifier.load(model)
    texts = (text for corpus in corpora for text in read_texts(corpus, bad_rows=StopAtBadRows()))
    ascending = sorted(int(length) for length in lengths.split(","))
    groups = by_length(classifier, texts, ascending, limit)
    with servers.gatewise(model).started() as server:
        rows = [measure(classifier, server.port, group, rounds) for group in groups]
    report({"explaining": rows}, facts={"rounds": rounds}, as_json=as_json)


if __name__ == "__main__":
    typer.run(main)
