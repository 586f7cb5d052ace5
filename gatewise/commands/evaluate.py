"""`gatewise evaluate`: metrics of a model over labelled rows."""

from gatewise import command_options
from gatewise.inputs import bad_rows_policy, check_outputs, labelled_rows


def evaluate(
    model: command_options.Model,
    corpus: command_options.Corpus,
    text_column: command_options.TextColumn = "text",
    label_column: command_options.LabelColumn = None,
    delimiter: command_options.Delimiter = None,
    quoting: command_options.Quoting = None,
    encoding: command_options.Encoding = None,
    sheet: command_options.Sheet = None,
    precision: command_options.Precision = None,
    rejects: command_options.Rejects = None,
    as_json: command_options.AsJson = False,
) -> None:
    """Classify labelled rows, or predict their numbers, and report the metrics."""
    from gatewise.console.training_console import show_report
    from gatewise.service.model.classifier import Classifier
    from gatewise.training.evaluation.regression import report_on
    from gatewise.vocab.corpus.read_options import ReadOptions

    read_options = ReadOptions(delimiter, encoding, sheet, quoting)
    check_outputs([corpus, model], {"rejects": rejects})
    classifier = Classifier.load(model, precision=precision)
    with bad_rows_policy(rejects) as bad_rows:
        columns = (text_column, label_column)
        rows = labelled_rows(classifier, corpus, bad_rows, columns, read_options)
        report = report_on(classifier, rows)
    show_report(report, as_json=as_json)
