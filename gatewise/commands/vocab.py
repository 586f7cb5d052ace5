"""`gatewise vocab`: the dictionary of a corpus, alone."""

from pathlib import Path
from typing import Annotated

from gatewise import options
from gatewise.rows import bad_rows_policy, check_outputs


def vocab(
    corpus: options.Corpus,
    out: Annotated[Path, options.path_option(help="The tokenizer.json to write.")],
    config: options.ConfigFile = None,
    set_: options.Assignments = None,
    text_column: options.TextColumnSetting = None,
    rejects: options.Rejects = None,
    as_json: options.AsJson = False,
) -> None:
    """Build the dictionary of a corpus alone, and tell how much of the corpus it covers."""
    from gatewise.console import show_dictionary
    from training import config as settings
    from vocab import dictionary
    from vocab.corpus import read_texts
    from vocab.files import writing, written_whole
    from vocab.kept_texts import keeping

    check_outputs([corpus], {"--out": out, "--rejects": rejects})
    run_config = settings.load(config, set_ or (), corpus={"text_column": text_column})
    column = run_config.corpus.text_column
    with writing(out), written_whole(out) as temporary, keeping(temporary.parent) as kept:
        with bad_rows_policy(rejects) as bad_rows:
            texts = kept.passing(read_texts(corpus, bad_rows=bad_rows, text_column=column))
            tokenizer = dictionary.train(texts, **run_config.tokens.dictionary_options())
        temporary.write_bytes(dictionary.serialize(tokenizer))
        coverage = dictionary.coverage(tokenizer, kept)
    show_dictionary(tokenizer.get_vocab_size(), coverage, out, as_json=as_json)
