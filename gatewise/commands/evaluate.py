"""`gatewise evaluate`: how many labels of a corpus a model gets right."""

from gatewise import options
from gatewise.rows import bad_rows_policy, check_outputs


def evaluate(
    model: options.Model,
    corpus: options.Corpus,
    text_column: options.TextColumn = "text",
    label_column: options.LabelColumn = None,
    precision: options.Precision = None,
    rejects: options.Rejects = None,
    as_json: options.AsJson = False,
) -> None:
    """Classify labelled rows and report how many labels were right."""
    from gatewise.console import show_report
    from service.classifier import Classifier
    from training.evaluation.evaluate import evaluate as report_on
    from vocab.columns import Columns
    from vocab.corpus import at_least_one, read_rows
    from vocab.encoded_rows import encode_rows

    check_outputs([corpus, model], {"--rejects": rejects})
    classifier = Classifier.load(model, precision=precision)
    with bad_rows_policy(rejects) as bad_rows:
        rows = read_rows(
            corpus,
            bad_rows=bad_rows,
            columns=Columns(text_column, label_column, classifier.task),
            known_labels=classifier.classes_,
            out_of_scope=classifier.out_of_scope,
        )
        encoded = bad_rows.keep(encode_rows(classifier.encode, rows))
        report = report_on(classifier, at_least_one(encoded, str(corpus)))
    show_report(report, as_json=as_json)
