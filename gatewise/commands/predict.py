"""`gatewise predict`: labels or numbers of texts from the command line or standard input.

A model of sequences of numbers reads each as JSON, such as `[1.5, 2, null]`.
"""

import json
from typing import Annotated

import typer

from gatewise import command_options
from gatewise.inputs import standard_input, texts_of
from gatewise.printable import printable

TRUNCATED = "a text is longer than the model reads: only its first {} tokens count"
TRUNCATED_SEQUENCE = "a sequence is longer than the model reads: only {} of its steps count"


def predict(
    model: command_options.Model,
    texts: command_options.Texts,
    top_k: Annotated[
        int | None,
        typer.Option(min=1, help="Labels shown for each text.  [default: the predicted ones]"),
    ] = None,
    precision: command_options.Precision = None,
    as_json: command_options.AsJson = False,
) -> None:
    """Classify texts given on the command line or on standard input."""
    from gatewise.service.model.classifier import Classifier
    from gatewise.service.model.scores import NO_LABELS, predicted_numbers, shortest
    from gatewise.vocab.errors import ArgumentError

    classifier = Classifier.load(model, precision=precision)
    encoding = classifier.encoding
    truncated = TRUNCATED if encoding.input == "text" else TRUNCATED_SEQUENCE
    if top_k is not None and classifier.task == "regression":
        raise ArgumentError(NO_LABELS.format("top_k"), option="top_k")
    for window in texts_of(texts, standard_input):
        names, lines = [*window], [*window.values()]
        items = [encoding.parsed(line, name) for name, line in window.items()]
        encoded = classifier.encode_nonempty(items, names.__getitem__)
        for text, cut, row in zip(lines, encoded, classifier.probabilities(encoded), strict=True):
            best = classifier.best(row, top_k)
            given = {"text": text} if encoding.input == "text" else {"sequence": json.loads(text)}
            if cut.truncated:
                typer.echo(f"gatewise: {truncated.format(len(cut.ids))}", err=True)
            if classifier.task == "regression":
                if as_json:
                    numbers = predicted_numbers(classifier.classes_, row[None], classifier.interval)
                    found = {name: shortest(column[0]) for name, column in numbers.items()}
                    typer.echo(json.dumps({**given, **found}, ensure_ascii=False))
                else:
                    answer = "  ".join(
                        f"{printable(name)} {number}" if len(row) > 1 else f"{number}"
                        for name, number in zip(classifier.classes_, row, strict=True)
                    )
                    typer.echo(f"{answer}\t{printable(text)}")
            elif as_json:
                predictions = [{"label": label, "score": score} for label, score in best]
                line = {**given, "predictions": predictions}
                typer.echo(json.dumps(line, ensure_ascii=False))
            else:
                answer = "  ".join(f"{printable(label)} {score:.4f}" for label, score in best)
                typer.echo(f"{answer or '-'}\t{printable(text)}")
