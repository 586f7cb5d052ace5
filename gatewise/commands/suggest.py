"""`gatewise suggest`: chooses which unlabelled texts to label next."""

from pathlib import Path
from typing import Annotated

import typer

from gatewise import command_options
from gatewise.inputs import bad_rows_policy, check_outputs, pool_of


def suggest(
    model: command_options.Model,
    pool: Annotated[
        Path,
        command_options.path_argument(
            metavar="POOL", help="Texts without labels: a data file, or a folder of them."
        ),
    ],
    n: Annotated[int, typer.Option("--n", min=1, help="How many texts to choose, at most.")] = 100,
    out: Annotated[
        Path | None,
        command_options.path_option(
            metavar="FILE", help="The file to write, as CSV unless --format is given."
        ),
    ] = None,
    tool: command_options.Tool = None,
    text_column: command_options.TextColumn = "text",
    delimiter: command_options.Delimiter = None,
    quoting: command_options.Quoting = None,
    encoding: command_options.Encoding = None,
    sheet: command_options.Sheet = None,
    precision: command_options.Precision = None,
    rejects: command_options.Rejects = None,
) -> None:
    """Choose the texts to label next: those the model is unsure of, unlike each other."""
    from gatewise.printable import printable
    from gatewise.service.model.classifier import Classifier
    from gatewise.training.labelling import suggestions
    from gatewise.vocab.corpus.read_options import ReadOptions

    if tool is not None and out is None:
        raise typer.BadParameter("--format has no effect without --out")
    check_outputs([pool, model], {"out": out, "rejects": rejects})
    classifier = Classifier.load(model, precision=precision)
    classifier.artifact.require_texts()
    with bad_rows_policy(rejects) as bad_rows:
        options = ReadOptions(delimiter, encoding, sheet, quoting)
        located = pool_of(pool, bad_rows, text_column, options)
    chosen = suggestions.suggest(classifier, [text for text, _ in located], n)
    if out is not None:
        places = [place for _, place in located]
        suggestions.write(out, chosen, places, classifier.classes_, tool)
        typer.echo(f"gatewise: wrote {len(chosen):,} of {len(located):,} texts to {out}", err=True)
        return
    for each in chosen:
        labels = " | ".join(map(printable, each.label)) or "-"
        typer.echo(f"{labels} {each.score:.4f}\t{printable(each.text)}")
