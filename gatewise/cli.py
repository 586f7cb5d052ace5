"""The `gatewise` command: its arguments, and which room each subcommand calls.

Results go to standard output, progress and errors to standard error. Exit codes: 0, 1 for an
error (one line), 2 for wrong usage. What a command prints is in `gatewise.console`; the work is
done by the rooms below, imported only when their command runs.
"""

# ruff: noqa: PLC0415 — every command imports what it needs and nothing else
import io
import json
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from gatewise.errors import exit_code_of
from gatewise.printable import printable
from gatewise.rows import bad_rows_policy, check_outputs, standard_input, texts_of
from vocab.errors import GatewiseError

app = typer.Typer(
    name="gatewise",
    help="From a labelled corpus to a one-megabyte text classifier.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

TRUNCATED = "a text was longer than the model reads: only its first {} tokens counted"

# Typer's own look at a path would be a second voice for errors, with other words and exit code 2.
_path = partial(typer.Option, readable=False)

Model = Annotated[Path, typer.Argument(metavar="MODEL", help="A model folder.", readable=False)]
Corpus = Annotated[
    Path,
    typer.Argument(
        metavar="CORPUS",
        help="CSV, TSV, JSON Lines or Parquet, plain, .gz or .zst, or a folder of such files.",
        readable=False,
    ),
]
ConfigFile = Annotated[Path | None, _path("--config", help="Settings as TOML.")]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="One setting, such as network.units=128."),
]
Rejects = Annotated[
    Path | None,
    _path(help="Set bad rows aside in this file, as JSON Lines, instead of stopping."),
]
TextColumn = Annotated[str | None, typer.Option(help="Column of the text.  [default: text]")]
LabelColumn = Annotated[str | None, typer.Option(help="Column of the label.  [default: label]")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"gatewise {version('gatewise')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def train(
    corpus: Corpus,
    out: Annotated[Path, _path(help="The model folder to write.")],
    validation: Annotated[Path | None, _path(help="Rows to choose the best epoch by.")] = None,
    test: Annotated[Path | None, _path(help="Rows to report on at the end.")] = None,
    config: ConfigFile = None,
    set_: Assignments = None,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    rejects: Rejects = None,
) -> None:
    """Train a classifier and write its model folder."""
    from gatewise.console import fitting_progress, show_run
    from service import artifact
    from training import config as settings
    from training.corpora import Corpora, read

    run_config = settings.load(
        config, set_ or (), corpus={"text_column": text_column, "label_column": label_column}
    )
    check_outputs([corpus, validation, test], {"--out": out, "--rejects": rejects})
    artifact.check_target(out)
    with bad_rows_policy(rejects) as bad_rows:
        rows = read(Corpora(corpus, validation, test), run_config, bad_rows)
        # Only now: TensorFlow takes seconds to import, and most mistakes are told without it.
        from training.pipeline import train as train_model

        with fitting_progress() as on_progress:
            run = train_model(rows, out, run_config, bad_rows, on_progress)
    show_run(run, out)


@app.command()
def vocab(
    corpus: Corpus,
    out: Annotated[Path, _path(help="The tokenizer.json to write.")],
    config: ConfigFile = None,
    set_: Assignments = None,
    text_column: TextColumn = None,
    rejects: Rejects = None,
    as_json: AsJson = False,
) -> None:
    """Build the dictionary of a corpus alone, and tell how much of the corpus it covers."""
    from gatewise.console import show_dictionary
    from training import config as settings
    from vocab import dictionary
    from vocab.corpus import read_texts
    from vocab.files import writing, written_whole

    check_outputs([corpus], {"--out": out, "--rejects": rejects})
    run_config = settings.load(config, set_ or (), corpus={"text_column": text_column})
    column = run_config.corpus.text_column
    with bad_rows_policy(rejects) as bad_rows:
        texts = list(read_texts(corpus, bad_rows=bad_rows, text_column=column))
    tokenizer = dictionary.train(texts, **run_config.tokens.dictionary_options())
    with writing(out), written_whole(out) as temporary:
        temporary.write_bytes(dictionary.serialize(tokenizer))
    show_dictionary(
        tokenizer.get_vocab_size(), dictionary.coverage(tokenizer, texts), out, as_json=as_json
    )


@app.command()
def evaluate(
    model: Model,
    corpus: Corpus,
    text_column: Annotated[str, typer.Option(help="Column of the text.")] = "text",
    label_column: Annotated[str, typer.Option(help="Column of the label.")] = "label",
    rejects: Rejects = None,
    as_json: AsJson = False,
) -> None:
    """Classify labelled rows and report how many labels were right."""
    from gatewise.console import show_report
    from service.classifier import Classifier
    from training.evaluate import evaluate as report_on
    from vocab.corpus import at_least_one, read_rows
    from vocab.encoded_rows import encode_rows

    check_outputs([corpus, model], {"--rejects": rejects})
    classifier = Classifier.load(model)
    with bad_rows_policy(rejects) as bad_rows:
        rows = read_rows(
            corpus,
            bad_rows=bad_rows,
            text_column=text_column,
            label_column=label_column,
            known_labels=classifier.classes_,
        )
        encoded = bad_rows.keep(encode_rows(classifier.encode, rows))
        report = report_on(classifier, at_least_one(encoded, str(corpus)))
    show_report(report, as_json=as_json)


@app.command()
def predict(
    model: Model,
    texts: Annotated[
        list[str], typer.Argument(metavar="TEXT...", help="Texts; - reads lines from stdin.")
    ],
    top_k: Annotated[int, typer.Option(min=1, help="Labels shown for each text.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Classify texts given on the command line or on standard input."""
    from service.classifier import Classifier
    from service.scores import ranked

    classifier = Classifier.load(model)
    for window in texts_of(texts, standard_input):
        encoded = classifier.encode_nonempty(window.texts, window.name)
        for text, cut, row in zip(
            window.texts, encoded, classifier.probabilities(encoded), strict=True
        ):
            best = ranked(classifier.classes_, row, top_k)
            if cut.truncated:
                typer.echo(f"gatewise: {TRUNCATED.format(len(cut.ids))}", err=True)
            if as_json:
                predictions = [{"label": label, "score": score} for label, score in best]
                line = {"text": text, "predictions": predictions}
                typer.echo(json.dumps(line, ensure_ascii=False))
            else:
                answer = "  ".join(f"{printable(label)} {score:.4f}" for label, score in best)
                typer.echo(f"{answer}\t{printable(text)}")


@app.command()
def score(
    model: Model,
    input_: Annotated[
        Path,
        typer.Argument(metavar="INPUT", help="A data file, or a folder of them.", readable=False),
    ],
    out: Annotated[Path, _path(help="The file to write; its suffix is its format.")],
    text_column: Annotated[str, typer.Option(help="Column of the text.")] = "text",
    rejects: Rejects = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Classify every row of a file and write the rows out with label and score."""
    from gatewise.console import counting_progress, show_summary
    from service.classifier import Classifier
    from service.scoring import score_file

    check_outputs([input_, model], {"--out": out, "--rejects": rejects})
    classifier = Classifier.load(model)
    with bad_rows_policy(rejects) as bad_rows, counting_progress("rows scored") as on_progress:
        summary = score_file(
            classifier,
            input_,
            out,
            bad_rows=bad_rows,
            text_column=text_column,
            on_progress=on_progress,
        )
    show_summary(summary, out, as_json=as_json)


@app.command()
def serve(
    model: Model,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on.  [default: 127.0.0.1]")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.  [default: 8000]")] = None,
) -> None:
    """Answer over HTTP; every other setting comes from GATEWISE_* variables."""
    from service.server import serve as serve_model
    from service.settings import Settings

    given: dict[str, Any] = {"model": model, "host": host, "port": port}
    serve_model(Settings(**{name: value for name, value in given.items() if value is not None}))


@app.command()
def inspect(model: Model, as_json: AsJson = False) -> None:
    """Tell what is in a model folder."""
    from gatewise.console import show_artifact
    from service import artifact

    show_artifact(artifact.load(model), as_json=as_json)


def main() -> None:
    """Runs the command; every error becomes one line on standard error and an exit code."""
    _take_signals()
    try:
        _prepare_streams()
        try:
            app(standalone_mode=True)
        finally:
            sys.stdout.flush()
    except BaseException as error:
        code = exit_code_of(error)
        if code is None:
            raise
        sys.exit(code)


def _prepare_streams() -> None:
    if sys.stdout is None:
        raise GatewiseError("standard output is closed: there is nowhere to answer to")
    for stream in (sys.stdout, sys.stderr):
        # A label that the terminal's encoding lacks is shown by its code, and not an error.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _take_signals() -> None:
    # A process that is told to end shall take away what is half written. One that was started to
    # outlive its terminal, with nohup, goes on ignoring it.
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _stop)


def _stop(number: int, _: object) -> None:
    raise SystemExit(128 + number)
