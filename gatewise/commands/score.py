"""`gatewise score`: every row of a file, with its label."""

from pathlib import Path
from typing import Annotated

import typer

from gatewise import options
from gatewise.rows import check_outputs


def score(
    model: options.Model,
    input_: Annotated[
        Path, options.path_argument(metavar="INPUT", help="A data file, or a folder of them.")
    ],
    out: Annotated[Path, options.path_option(help="The file to write; its suffix is its format.")],
    text_column: options.TextColumn = "text",
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Add a column probability_LABEL for each label.")
    ] = False,
    precision: options.Precision = None,
    rejects: options.Rejects = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Classify every row of a file and write the rows out with label and score."""
    from gatewise.console import counting_progress, show_summary
    from service.classifier import Classifier
    from service.scoring.plan import Wishes
    from service.scoring.run import score_file

    check_outputs([input_, model], {"--out": out, "--rejects": rejects})
    classifier = Classifier.load(model, precision=precision)
    wishes = Wishes(text_column, probabilities=probabilities)
    with counting_progress("rows scored") as on_progress:
        summary = score_file(
            classifier,
            input_,
            out,
            wishes,
            rejects=rejects,
            on_progress=lambda counts: on_progress(counts.rows),
        )
    show_summary(summary, out, as_json=as_json)
