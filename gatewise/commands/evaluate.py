"""`gatewise evaluate`: metrics of a model over labelled rows."""

from gatewise import options
from gatewise.inputs import bad_rows_policy, check_outputs, labelled_rows


def evaluate(
    model: options.Model,
    corpus: options.Corpus,
    text_column: options.TextColumn = "text",
    label_column: options.LabelColumn = None,
    delimiter: options.Delimiter = None,
    encoding: options.Encoding = None,
    sheet: options.Sheet = None,
    precision: options.Precision = None,
    rejects: options.Rejects = None,
    as_json: options.AsJson = False,
) -> None:
    """Classify labelled rows and report the metrics."""
    from gatewise.console.training_console import show_report
    from gatewise.service.model.classifier import Classifier
    from gatewise.training.evaluation.evaluate import evaluate as report_on
    from gatewise.vocab.corpus.read_options import ReadOptions

    read_options = ReadOptions(delimiter, encoding, sheet)
    check_outputs([corpus, model], {"--rejects": rejects})
    classifier = Classifier.load(model, precision=precision)
    with bad_rows_policy(rejects) as bad_rows:
        columns = (text_column, label_column)
        rows = labelled_rows(classifier, corpus, bad_rows, columns, read_options)
        report = report_on(classifier, rows)
    show_report(report, as_json=as_json)
