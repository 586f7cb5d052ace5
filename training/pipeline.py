"""The walk of a training run: rows in, a model folder out, evaluated as it will serve.

Puts the rooms together and owns none of their work. Knows nothing of the command line: progress
goes to a callback, figures come back as a `Run`.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from service import artifact
from service.classifier import Classifier
from training import network
from training.config import Config
from training.corpora import Rows
from training.dataset import Examples
from training.evaluate import evaluate
from training.export import TrainedModel, corpus_digest
from training.fit import Progress, fit
from training.lowering import lower
from training.run import Run
from vocab import dictionary
from vocab.bad_rows import BadRows
from vocab.corpus import Row, at_least_one
from vocab.encoded_rows import EncodedRow, encode_rows
from vocab.encoding import Encoder
from vocab.errors import CorpusError
from vocab.labels import Labels


def train(
    rows: Rows,
    out: Path,
    config: Config,
    bad_rows: BadRows,
    on_progress: Callable[[Progress], None],
) -> Run:
    """Trains a classifier and writes its model folder, whole or not at all.

    Args:
        rows: From `training.corpora.read`.
        out: The folder to write; an earlier model folder there is replaced.
        config: Every setting.
        bad_rows: What happens to rows that cannot be used.
        on_progress: Called as the network is fitted.

    Raises:
        GatewiseError: If the rows cannot be used or the folder cannot be written.
    """
    artifact.check_target(out)
    labels = Labels.of(row.label for row in rows.train)
    tokenizer = dictionary.train(
        (row.text for row in rows.train), **config.tokens.dictionary_options()
    )
    encoder = Encoder(tokenizer, config.tokens.max_length)

    def encoded(part: Sequence[Row], name: str) -> list[EncodedRow]:
        kept = bad_rows.keep(encode_rows(encoder.encode, part))
        return list(at_least_one(kept, f"{name} rows"))

    learnt, validation = encoded(rows.train, "training"), encoded(rows.validation, "validation")
    test = encoded(rows.test, "test") if rows.test else []
    if bare := set(labels.names) - {row.row.label for row in learnt}:
        raise CorpusError(
            f"training rows: no text of the label {min(bare)!r} holds a token to learn from: mend "
            "its rows or leave them out"
        )
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
        corpus_sha256=corpus_digest(rows.train),
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
            coverage=dictionary.coverage(tokenizer, (row.text for row in rows.validation)),
            fitted=fitted,
            validation=evaluate(classifier, validation),
            test=evaluate(classifier, test) if test else None,
        )
        trained.write_figures(folder, run)
    return run


def _examples(rows: Sequence[EncodedRow], labels: Labels) -> Examples:
    return Examples(
        ids=[row.encoded.ids for row in rows],
        labels=np.array(labels.encode([row.row.label for row in rows]), dtype=np.int32),
    )
