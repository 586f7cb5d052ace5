"""`gatewise audit`: looks for rows with a wrong label, without training a model."""

from pathlib import Path
from typing import Annotated

from gatewise import command_options
from gatewise.inputs import check_outputs, load_config


def audit(
    corpus: command_options.Corpus,
    out: Annotated[
        Path, command_options.path_option(help="The folder to write: audit.html and rows.csv.")
    ],
    validation: command_options.Validation = None,
    test: command_options.Test = None,
    tool: command_options.Tool = None,
    config: command_options.ConfigFile = None,
    set_: command_options.Assignments = None,
    text_column: command_options.TextColumnSetting = None,
    label_column: command_options.LabelColumn = None,
    delimiter: command_options.Delimiter = None,
    quoting: command_options.Quoting = None,
    encoding: command_options.Encoding = None,
    sheet: command_options.Sheet = None,
    rejects: command_options.Rejects = None,
) -> None:
    """Look for wrong labels: doubtful rows, copies with other labels, confused labels."""
    import gatewise
    from gatewise.console.audit_console import show_audit
    from gatewise.training.labelling.audit import check_target

    run_config = load_config(
        config, set_, text_column, delimiter, quoting, encoding, sheet, label_column
    )
    check_outputs([corpus, validation, test], {"out": out, "rejects": rejects})
    check_target(out)
    found = gatewise.audit(
        corpus,
        validation=validation,
        test=test,
        rejects=rejects,
        **run_config.model_dump(mode="json"),
    )
    found.save(out, tool)
    show_audit(found, out)
