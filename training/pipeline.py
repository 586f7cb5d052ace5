"""The whole walk of a training run: corpora in, a model folder out, evaluated as it will serve.

Puts the rooms together and owns none of their work. Knows nothing of the command line: progress
goes to a callback, figures come back as a `Run`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from service import artifact
from service.classifier import Classifier
from training import network
from training.config import Config
from training.dataset import Examples, split
from training.evaluate import evaluate
from training.export import TrainedModel, corpus_digest
from training.fit import Progress, fit
from training.lowering import lower
from training.run import Run
from vocab import dictionary
from vocab.bad_rows import BadRows
from vocab.corpus import Row, read_rows
from vocab.encoded_rows import EncodedRow, encode_rows
from vocab.encoding import Encoder
from vocab.labels import Labels


@dataclass(frozen=True)
class Corpora:
    """The corpora of a run.

    Attributes:
        train: Rows to learn from.
        validation: Rows to choose by; if None, a share of the training rows is set aside.
        test: Rows that nothing is chosen by; if None, there is no test report.
    """

    train: Path
    validation: Path | None = None
    test: Path | None = None


def train(
    corpora: Corpora,
    out: Path,
    config: Config,
    bad_rows: BadRows,
    on_progress: Callable[[Progress], None],
) -> Run:
    """Trains a classifier and writes its model folder, whole or not at all.

    Args:
        corpora: What to read.
        out: The folder to write; an earlier model folder there is replaced.
        config: Every setting.
        bad_rows: What happens to rows that cannot be used.
        on_progress: Called as the network is fitted.

    Raises:
        GatewiseError: If a corpus cannot be used or the folder cannot be written.
    """
    artifact.check_target(out)
    train_rows, validation_rows, test_rows = _read(corpora, config, bad_rows)
    labels = Labels.of(row.label for row in train_rows)
    tokenizer = dictionary.train(
        (row.text for row in train_rows), **config.tokens.dictionary_options()
    )
    encoder = Encoder(tokenizer, config.tokens.max_length)

    def encoded(rows: Sequence[Row]) -> list[EncodedRow]:
        return list(bad_rows.keep(encode_rows(encoder.encode, rows)))

    learnt, validation, test = encoded(train_rows), encoded(validation_rows), encoded(test_rows)
    shape = network.Shape(
        vocab_size=tokenizer.get_vocab_size(),
        classes=len(labels),
        ngrams=config.network.ngram_lengths(config.tokens.unit),
    )
    model = network.build(config.network, shape, config.training.seed)
    fitted = fit(
        model,
        config.training,
        _examples(learnt, labels),
        _examples(validation, labels),
        on_progress,
    )
    trained = TrainedModel(
        lowered=lower(model, config.network),
        tokenizer=tokenizer,
        labels=labels,
        shape=shape,
        config=config,
        parameters=model.count_params(),
        corpus_sha256=corpus_digest(train_rows),
    )
    with artifact.writing(out) as folder:
        trained.write(folder)
        # From here on the folder itself answers, through the classifier that will serve it.
        classifier = Classifier.load(folder.path)
        run = Run(
            rows=len(learnt),
            labels=len(labels),
            tokens=shape.vocab_size,
            parameters=trained.parameters,
            coverage=dictionary.coverage(tokenizer, (row.text for row in validation_rows)),
            fitted=fitted,
            validation=evaluate(classifier, validation),
            test=evaluate(classifier, test) if test else None,
        )
        trained.write_figures(folder, run)
    return run


def _read(
    corpora: Corpora, config: Config, bad_rows: BadRows
) -> tuple[list[Row], list[Row], list[Row]]:
    """The rows of training, validation and test, the last empty if there are none."""

    def rows(path: Path, known_labels: frozenset[str] | None = None) -> list[Row]:
        stream = read_rows(
            path,
            bad_rows=bad_rows,
            text_column=config.corpus.text_column,
            label_column=config.corpus.label_column,
            known_labels=known_labels,
        )
        return list(stream)

    learnt = rows(corpora.train)
    known = frozenset(row.label for row in learnt)
    Labels.of(known)  # a single class is told at once, not after the other corpora were read
    if corpora.validation:
        validation = rows(corpora.validation, known)
    else:
        keep, aside = split(
            [row.label for row in learnt], config.corpus.validation_share, config.training.seed
        )
        learnt, validation = [learnt[row] for row in keep], [learnt[row] for row in aside]
    return learnt, validation, rows(corpora.test, known) if corpora.test else []


def _examples(rows: Sequence[EncodedRow], labels: Labels) -> Examples:
    return Examples(
        ids=[row.encoded.ids for row in rows],
        labels=np.array(labels.encode([row.row.label for row in rows]), dtype=np.int32),
    )
