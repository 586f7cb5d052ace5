"""`gatewise train`: trains a classifier on a corpus and writes its model folder."""

from pathlib import Path
from typing import Annotated

import typer

from gatewise import command_options
from gatewise.inputs import bad_rows_policy, check_outputs, load_config


def train(
    corpus: command_options.Corpus,
    out: Annotated[Path, command_options.path_option(help="The model folder to write.")],
    validation: command_options.Validation = None,
    test: command_options.Test = None,
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
    from gatewise.console.training_console import fitting_progress, show_run
    from gatewise.service.model.model_folder import check_target
    from gatewise.training.data.corpora import Corpora
    from gatewise.training.pipeline import train as train_model
    from gatewise.training.tracking.track import tracking
    from gatewise.training.workspace import workspace_of

    run_config = load_config(
        config, set_, text_column, delimiter, quoting, encoding, sheet, label_column
    )
    check_outputs([corpus, validation, test], {"--out": out, "--rejects": rejects})
    check_target(out)
    corpora = Corpora(corpus, validation, test)
    with (
        bad_rows_policy(rejects) as bad_rows,
        fitting_progress() as on_progress,
        tracking(run_config, out, resume=resume) as track,
    ):
        report = track.also(on_progress)
        try:
            run = train_model(corpora, out, run_config, bad_rows, report, resume=resume)
        except KeyboardInterrupt:
            if workspace_of(out).checkpoint.exists():
                typer.echo(
                    "gatewise: interrupted: --resume continues from the checkpoint", err=True
                )
            raise
        track.ended(run)
    if track.trouble:
        typer.echo(f"gatewise: {track.trouble}", err=True)
    show_run(run, out)
