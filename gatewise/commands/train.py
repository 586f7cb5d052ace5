"""`gatewise train`: trains a classifier on a corpus and writes its model folder."""

from pathlib import Path
from typing import Annotated

import typer

from gatewise import command_options
from gatewise.inputs import load_config


def train(
    corpus: command_options.Corpus,
    out: Annotated[Path, command_options.path_option(help="The model folder to write.")],
    validation: command_options.Validation = None,
    test: command_options.Test = None,
    start_from: Annotated[
        Path | None,
        command_options.path_option(
            "--from", metavar="MODEL", help="An earlier model, whose weights training starts from."
        ),
    ] = None,
    teacher: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEACHER",
            help="What labels texts: the folder of an encoder or of a Gatewise model, or the URL "
            "of a language model's endpoint.",
        ),
    ] = None,
    unlabelled: Annotated[
        list[Path] | None,
        command_options.path_option(
            metavar="FILE", help="Texts without labels, for the teacher to label."
        ),
    ] = None,
    config: command_options.ConfigFile = None,
    set_: command_options.Assignments = None,
    text_column: command_options.TextColumnSetting = None,
    label_column: command_options.LabelColumn = None,
    delimiter: command_options.Delimiter = None,
    quoting: command_options.Quoting = None,
    encoding: command_options.Encoding = None,
    sheet: command_options.Sheet = None,
    rejects: command_options.Rejects = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue a run that was stopped.")
    ] = False,
) -> None:
    """Train a classifier and write its model folder."""
    import gatewise
    from gatewise.console.training_console import fitting_progress, show_run
    from gatewise.training.workspace import workspace_of

    run_config = load_config(
        config, set_, text_column, delimiter, quoting, encoding, sheet, label_column
    ).taught_by(teacher, unlabelled)
    with fitting_progress() as on_progress:
        try:
            model = gatewise.train(
                corpus,
                validation=validation,
                test=test,
                out=out,
                rejects=rejects,
                start_from=start_from,
                resume=resume,
                progress=on_progress,
                **run_config.model_dump(mode="json", exclude_unset=True),
            )
        except KeyboardInterrupt:
            if workspace_of(out).checkpoint.exists():
                typer.echo(
                    "gatewise: interrupted: --resume continues from the checkpoint", err=True
                )
            elif run_config.teacher.is_wanted:
                typer.echo(
                    "gatewise: interrupted: what the teacher labelled is kept for the next run",
                    err=True,
                )
            raise
    if model.trained is not None:
        show_run(model.trained.run, out)
