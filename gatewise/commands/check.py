"""`gatewise check`: looks for what in a corpus would harm a model, without training one."""

from gatewise import command_options
from gatewise.inputs import load_config


def check(
    corpus: command_options.Corpus,
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
    as_json: command_options.AsJson = False,
) -> None:
    """Check a corpus before training: labels, texts, validation rows."""
    from gatewise.console.check_console import show_check
    from gatewise.training.data.corpora import Corpora
    from gatewise.training.pipeline import check_corpus
    from gatewise.vocab.errors import CorpusError

    run_config = load_config(
        config, set_, text_column, delimiter, quoting, encoding, sheet, label_column
    )
    found = check_corpus(Corpora(corpus, validation, test), run_config)
    show_check(found, as_json=as_json)
    if found.errors and run_config.corpus.check == "stop":
        codes = ", ".join(finding.code for finding in found.errors)
        raise CorpusError(
            f"{corpus}: training stops at {codes}: fix the corpus, or set corpus.check=warn"
        )
