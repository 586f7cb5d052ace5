"""`gatewise score`: classifies every row of files and writes the rows with their labels."""

from collections.abc import Callable
from functools import partial
from typing import Annotated

import typer

from gatewise import command_options
from gatewise.inputs import check_outputs, local_path, tell
from gatewise.vocab.errors import GatewiseError


def score(
    model: command_options.Model,
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="Data files, folders, patterns such as 'logs/*.csv.gz', URIs of object stores, "
            "or - for standard input.",
        ),
    ],
    out: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="The file or URI to write, in the format of its suffix; - for standard output. "
            "With --engine ray a folder.",
        ),
    ],
    input_format: Annotated[
        str | None,
        typer.Option(metavar="SUFFIX", help="Format of standard input, such as csv or jsonl.gz."),
    ] = None,
    output_format: Annotated[
        str | None,
        typer.Option(
            metavar="SUFFIX",
            help="Format of standard output, or of the files in the folder.  "
            "[default: the input's, or parquet]",
        ),
    ] = None,
    text_column: command_options.TextColumn = "text",
    delimiter: command_options.Delimiter = None,
    quoting: command_options.Quoting = None,
    encoding: command_options.Encoding = None,
    sheet: command_options.Sheet = None,
    columns: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...",
            help="Columns of the output, from the input and the predictions.  [default: all]",
        ),
    ] = None,
    top_k: Annotated[
        int | None,
        typer.Option(min=1, help="Labels given to each text.  [default: the predicted ones]"),
    ] = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Add a column probability_LABEL for each label.")
    ] = False,
    none_below: Annotated[
        float | None,
        typer.Option(
            metavar="PROBABILITY",
            help="Give no label below this, 0 to always give one.  [default: the model's]",
        ),
    ] = None,
    cascade: Annotated[
        bool,
        typer.Option(
            "--cascade",
            help="Let the linear path alone score the rows that it is sure of: several times as "
            "fast, nearly always the same labels.",
        ),
    ] = False,
    precision: command_options.Precision = None,
    rejects: command_options.Rejects = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue a run that was interrupted.")
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Cores to use, or processes of a cluster.  [default: all]"),
    ] = None,
    engine: Annotated[
        command_options.EngineName,
        typer.Option(help="What scores: threads of this process, or processes on a Ray cluster."),
    ] = "local",
    address: command_options.Address = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Classify every row of a file and write the rows out with label and score."""
    if engine == "ray":
        # Imported first, so that a missing package is reported before anything else.
        from gatewise.service.scoring.ray.output_parts import PartitionedOutput
        from gatewise.service.scoring.ray.ray_pool import Cluster
        from gatewise.service.scoring.ray.score_folder import score_folder
    _refuse_idle_options(inputs, out, input_format, output_format, engine, address)

    from gatewise.console.scoring_console import scoring_progress, show_summary
    from gatewise.service.model.classifier import Classifier
    from gatewise.service.scoring.destination import Destination, staging_folder
    from gatewise.service.scoring.options import ScoringOptions
    from gatewise.service.scoring.overlap_check import refuse_overlap
    from gatewise.service.scoring.score_file import Parallelism
    from gatewise.service.scoring.score_file import score as score_records
    from gatewise.service.scoring.summary import Summary
    from gatewise.vocab.corpus.read_options import ReadOptions
    from gatewise.vocab.corpus.record_stream import open_records
    from gatewise.vocab.corpus.uris import plain

    check_outputs([*map(local_path, inputs), model], {"out": local_path(out), "rejects": rejects})
    # The model is checked before the files, as in every command; Ray's workers load it themselves.
    classifier = Classifier.load(model, precision=precision) if engine == "local" else None
    scoring = ScoringOptions(
        text_column=text_column,
        top_k=top_k,
        probabilities=probabilities,
        columns=None if columns is None else tuple(columns.split(",")),
        none_below=none_below,
        read=ReadOptions(delimiter, encoding, sheet, quoting),
        cascade=cascade,
    )
    if engine == "ray":
        if "-" in inputs:
            raise GatewiseError(
                "-: standard input belongs to one process: expected inputs that every node of the "
                "cluster can read"
            )
        output = PartitionedOutput.named(out, output_format or "parquet", rejects)
    elif out == "-":
        form = output_format or input_format
        if form is None:
            raise GatewiseError("--out -: the format is missing: add --output-format, such as csv")
        destination = Destination.standard_output(form, rejects)
    else:
        destination = Destination.named(out, rejects)
    records = open_records(*inputs, standard_input=input_format, options=scoring.read)
    tell(records.notes)
    if resume and inputs == ["-"]:
        raise GatewiseError("--resume: standard input cannot be read again; write it to a file")
    refuse_overlap(inputs, records, (output if engine == "ray" else destination).names, rejects)
    run: Callable[..., Summary]
    if classifier is None:
        cluster = Cluster(address, workers)
        run = partial(
            score_folder, model, records, output, scoring, precision=precision, cluster=cluster
        )
    else:
        run = partial(
            score_records,
            classifier,
            records,
            destination,
            scoring,
            parallelism=Parallelism(workers),
        )
    with scoring_progress() as on_progress:
        try:
            summary = run(resume=resume, on_progress=on_progress)
        except (KeyboardInterrupt, SystemExit):
            if out != "-" and staging_folder(plain(out)).exists():
                typer.echo("gatewise: interrupted: --resume continues from what is done", err=True)
            raise
    show_summary(
        summary,
        out if engine == "ray" else str(destination.file),
        err=engine == "local" and destination.is_stdout,
        as_json=as_json,
    )


def _refuse_idle_options(
    inputs: list[str],
    out: str,
    input_format: str | None,
    output_format: str | None,
    engine: str,
    address: str | None,
) -> None:
    """Refuses options that would have no effect."""
    if address is not None and engine != "ray":
        raise typer.BadParameter("--address has no effect without --engine ray")
    if input_format is not None and "-" not in inputs:
        raise typer.BadParameter(
            "--input-format is the format of standard input: expected - as INPUT"
        )
    if output_format is not None and engine != "ray" and out != "-":
        raise typer.BadParameter(
            "--output-format is for standard output and --engine ray: a file's format is the "
            "suffix of its name"
        )
