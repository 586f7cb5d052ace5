"""`gatewise vocab`: builds the dictionary of a corpus and measures its coverage."""

from pathlib import Path
from typing import Annotated

from gatewise import command_options
from gatewise.inputs import bad_rows_policy, check_outputs, load_config, tell


def vocab(
    corpus: command_options.Corpus,
    out: Annotated[Path, command_options.path_option(help="The tokenizer.json to write.")],
    config: command_options.ConfigFile = None,
    set_: command_options.Assignments = None,
    text_column: command_options.TextColumnSetting = None,
    delimiter: command_options.Delimiter = None,
    quoting: command_options.Quoting = None,
    encoding: command_options.Encoding = None,
    sheet: command_options.Sheet = None,
    rejects: command_options.Rejects = None,
    as_json: command_options.AsJson = False,
) -> None:
    """Build only the dictionary of a corpus and report its coverage."""
    from gatewise.console.training_console import show_dictionary
    from gatewise.vocab.atomic_files import atomic_write, translate_write_errors
    from gatewise.vocab.corpus.corpus_reader import texts_of
    from gatewise.vocab.corpus.record_stream import open_records
    from gatewise.vocab.corpus.text_spool import open_spool
    from gatewise.vocab.tokenizer.coverage import measure_coverage
    from gatewise.vocab.tokenizer.tokenizer import train_tokenizer
    from gatewise.vocab.tokenizer.tokenizer_json import serialize_tokenizer

    check_outputs([corpus], {"out": out, "rejects": rejects})
    run_config = load_config(config, set_, text_column, delimiter, quoting, encoding, sheet)
    column = run_config.corpus.text_column
    records = open_records(corpus, options=run_config.corpus.read_options())
    tell(records.notes)
    with (
        translate_write_errors(out),
        atomic_write(out) as temporary,
        open_spool(temporary.parent) as kept,
    ):
        with bad_rows_policy(rejects) as bad_rows:
            # As in training, a dictionary counts only what is read of a text.
            tokens = run_config.tokens
            texts = map(
                tokens.text_limit().cut, texts_of(records, bad_rows=bad_rows, text_column=column)
            )
            tokenizer = train_tokenizer(kept.spooled(texts), **tokens.dictionary_options())
        temporary.write_bytes(serialize_tokenizer(tokenizer))
        coverage = measure_coverage(tokenizer, kept)
    show_dictionary(tokenizer.get_vocab_size(), coverage, out, as_json=as_json)
