"""`gatewise explain`: which tokens of a text decide its label, and by how much."""

from typing import Annotated

import typer

from gatewise import command_options
from gatewise.inputs import standard_input, texts_of


def explain(
    model: command_options.Model,
    texts: command_options.Texts,
    label: Annotated[
        str | None, typer.Option(help="The label to explain.  [default: the best of each text]")
    ] = None,
    precision: command_options.Precision = None,
    as_json: command_options.AsJson = False,
) -> None:
    """Show how much each token of a text speaks for its label."""
    from gatewise.console.explanation_console import show_explanation
    from gatewise.explained_text import explain_text
    from gatewise.service.model.classifier import Classifier
    from gatewise.vocab.errors import EmptyTextError

    classifier = Classifier.load(model, precision=precision)
    for window in texts_of(texts, standard_input):
        for place, text in window.items():
            try:
                explained = explain_text(classifier, text, label)
            except EmptyTextError as error:
                raise EmptyTextError(f"{place}: {error}") from None
            show_explanation(explained, as_json=as_json)
