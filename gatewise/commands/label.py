"""`gatewise label`: labels texts by a teacher, and writes a corpus to train on."""

from pathlib import Path
from typing import Annotated

import typer

from gatewise import command_options
from gatewise.inputs import load_config


def label(
    texts: Annotated[
        Path,
        command_options.path_argument(
            metavar="TEXTS",
            help="A file of lines, or a data file with a column of texts, or a folder of them.",
        ),
    ],
    labels: Annotated[
        str, typer.Option(metavar="LABEL,...", help="The labels, with commas between them.")
    ],
    teacher: Annotated[
        str,
        typer.Option(
            metavar="TEACHER",
            help="The URL of a language model's endpoint, or a Gatewise model folder.",
        ),
    ],
    out: Annotated[
        Path,
        command_options.path_option(
            metavar="FILE", help="The corpus to write, in the format of its suffix."
        ),
    ],
    config: command_options.ConfigFile = None,
    set_: command_options.Assignments = None,
    text_column: command_options.TextColumnSetting = None,
    delimiter: command_options.Delimiter = None,
    quoting: command_options.Quoting = None,
    encoding: command_options.Encoding = None,
    sheet: command_options.Sheet = None,
    rejects: command_options.Rejects = None,
) -> None:
    """Label texts by a large model, and write a corpus that a small one is trained on."""
    import gatewise
    from gatewise.console.output import print_plainly
    from gatewise.console.training_console import fitting_progress
    from gatewise.printable import printable

    run_config = load_config(
        config, set_, text_column, delimiter, quoting, encoding, sheet
    ).taught_by([teacher])
    with fitting_progress() as on_progress:
        try:
            found = gatewise.label(
                texts,
                [name.strip() for name in labels.split(",")],
                out=out,
                rejects=rejects,
                progress=on_progress,
                **run_config.model_dump(mode="json"),
            )
        except KeyboardInterrupt:
            # The probabilities of a model folder are computed again: that costs nothing.
            if run_config.teacher.url is not None:
                typer.echo(
                    "gatewise: interrupted: what the teacher labelled is kept for the next run",
                    err=True,
                )
            raise
    counts = ", ".join(
        f"{'no label' if name is None else printable(name)} {count:,}"
        for name, count in found.counts.items()
        if name is not None or count
    )
    print_plainly(f"{len(found.texts):,} texts labelled: {counts}")
    print_plainly(f"written to {out}")
