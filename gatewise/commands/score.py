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
    columns: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...",
            help="The output's columns, of the input and of the answers.  [default: all]",
        ),
    ] = None,
    top_k: Annotated[
        int | None,
        typer.Option(min=1, help="Labels given to each text.  [default: those predicted]"),
    ] = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Add a column probability_LABEL for each label.")
    ] = False,
    none_below: Annotated[
        float | None,
        typer.Option(
            metavar="PROBABILITY",
            help="Give no label below this, 0 for always one.  [default: the model's own]",
        ),
    ] = None,
    precision: options.Precision = None,
    rejects: options.Rejects = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a run that was broken off.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Cores to use.  [default: all]")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Classify every row of a file and write the rows out with label and score."""
    from gatewise.scoring_console import scoring_progress, show_summary
    from service.classifier import Classifier
    from service.scoring.delivery import staging_of
    from service.scoring.plan import Wishes
    from service.scoring.run import Pace, score_file

    check_outputs([input_, model], {"--out": out, "--rejects": rejects})
    wishes = Wishes(
        text_column=text_column,
        top_k=top_k,
        probabilities=probabilities,
        columns=None if columns is None else tuple(columns.split(",")),
        none_below=none_below,
    )
    classifier = Classifier.load(model, precision=precision)
    with scoring_progress() as on_progress:
        try:
            summary = score_file(
                classifier,
                input_,
                out,
                wishes,
                rejects=rejects,
                resume=resume,
                pace=Pace(workers),
                on_progress=on_progress,
            )
        except (KeyboardInterrupt, SystemExit):
            if staging_of(out).exists():
                typer.echo("gatewise: interrupted: --resume goes on from what is done", err=True)
            raise
    show_summary(summary, out, as_json=as_json)
