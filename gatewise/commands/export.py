"""`gatewise export`: a model small enough for a device, in a folder for an app."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gatewise import command_options
from gatewise.inputs import bad_rows_policy, check_outputs, labelled_rows

if TYPE_CHECKING:
    from gatewise.service.model.classifier import Classifier
    from gatewise.vocab.corpus.corpus_reader import Row


def export(
    model: command_options.Model,
    out: Annotated[
        Path, command_options.path_option(help="The folder to write, with a .zip of it.")
    ],
    target: Annotated[Literal["mobile"], typer.Option(help="What it is for.")] = "mobile",
    max_size: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Largest size that an app carries, such as 500KB or 1MB.  [default: unlimited]",
        ),
    ] = None,
    precision: Annotated[
        command_options.PrecisionName | None,
        typer.Option(help="How the weights are stored.  [default: as small as accuracy allows]"),
    ] = None,
    validation: Annotated[
        Path | None, command_options.path_option(help="Rows that smaller variants are compared on.")
    ] = None,
    with_tokenizer: Annotated[
        bool | None,
        typer.Option(
            "--with-tokenizer/--without-tokenizer",
            help="Whether to write a model that takes raw texts, too.  [default: if the tokenizer "
            "allows it]",
        ),
    ] = None,
    text_column: command_options.TextColumn = "text",
    label_column: command_options.LabelColumn = None,
    delimiter: command_options.Delimiter = None,
    quoting: command_options.Quoting = None,
    encoding: command_options.Encoding = None,
    sheet: command_options.Sheet = None,
    rejects: command_options.Rejects = None,
    as_json: command_options.AsJson = False,
) -> None:
    """Make a model small enough for a phone or a web page, with all files that an app needs."""
    from gatewise.console.training_console import show_exported, show_step
    from gatewise.training.mobile.mobile_export import export_mobile
    from gatewise.training.mobile.mobile_folder import zip_of
    from gatewise.value_types import in_bytes
    from gatewise.vocab.corpus.read_options import ReadOptions

    del target  # the only one so far; named, so that others can be added
    read_options = ReadOptions(delimiter, encoding, sheet, quoting)
    limit = in_bytes(max_size) if max_size else None
    corpus = validation or Path()
    outputs = {"out": out, "the zip beside --out": zip_of(out), "rejects": rejects}
    check_outputs([model, validation], outputs)
    with bad_rows_policy(rejects) as bad_rows:

        def rows(classifier: "Classifier") -> "Iterable[Row]":
            columns = (text_column, label_column)
            found = labelled_rows(classifier, corpus, bad_rows, columns, read_options)
            return (each.row for each in found)

        exported = export_mobile(
            model,
            out,
            precision=precision,
            max_size=limit,
            with_text=with_tokenizer,
            rows=rows if validation else None,
            on_step=show_step,
        )
    show_exported(exported, out, as_json=as_json)
