"""`gatewise tune`: searches for settings and keeps the best model."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from gatewise import command_options
from gatewise.inputs import bad_rows_policy, check_outputs, load_config
from gatewise.value_types import seconds


def tune(
    corpus: command_options.Corpus,
    out: Annotated[
        Path,
        command_options.path_option(
            help="Folder of the search; its subfolder best holds the best model."
        ),
    ],
    validation: Annotated[
        Path | None, command_options.path_option(help="Rows to choose the settings by.")
    ] = None,
    space: Annotated[
        Path | None, command_options.path_option(help="Settings and the values to try, as TOML.")
    ] = None,
    trials: Annotated[int, typer.Option(min=1, help="Maximum number of trials.")] = 20,
    time_budget: Annotated[
        float | None,
        typer.Option(parser=seconds, metavar="TIME", help="Time limit, such as 30m or 1h30m."),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Networks trained for each trial, each with other rows held out; by default 5 "
            "where rows are few.",
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
        bool, typer.Option("--resume", help="Continue the search in the folder.")
    ] = False,
    as_json: command_options.AsJson = False,
) -> None:
    """Search for the settings with the best validation metric, and keep the best model."""
    from gatewise.console.tuning_console import search_progress, show_search
    from gatewise.training.data.corpora import Corpora, columns_of
    from gatewise.training.tuning import search_space
    from gatewise.training.tuning.hyperparameter_search import SearchLimits
    from gatewise.training.tuning.hyperparameter_search import tune as search_for

    run_config = load_config(
        config, set_, text_column, delimiter, quoting, encoding, sheet, label_column
    )
    input_ = "text" if space else columns_of(corpus, run_config).input
    searched = search_space.load(space, run_config, input_)
    check_outputs([corpus, validation, space], {"out": out, "rejects": rejects})
    with search_progress(trials) as callbacks:
        search = search_for(
            Corpora(corpus, validation),
            out,
            run_config,
            searched,
            SearchLimits(trials, time_budget, folds),
            partial(bad_rows_policy, rejects),
            callbacks,
            resume=resume,
        )
    show_search(search, as_json=as_json)
