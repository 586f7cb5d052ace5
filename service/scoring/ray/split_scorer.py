"""A scoring worker: loads the model once, then scores one split after another.

Whichever worker scores a split writes the same bytes under the same name. So a split may be scored
again when a worker was lost.
"""

import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial

import ray.util

from gatewise.service.model.classifier import Classifier
from gatewise.service.model.model_folder import Artifact
from gatewise.service.scoring.chunks import Items
from gatewise.service.scoring.options import ScoringPlan
from gatewise.service.scoring.ordered_pool import in_order
from gatewise.service.scoring.ray.input_splits import Group, Split, SplitReader, SplitSizes
from gatewise.service.scoring.ray.output_parts import OutputParts
from gatewise.service.scoring.score_chunk import ScoredChunk, bad_rows_error, score_records
from gatewise.service.scoring.summary import RowCounts
from gatewise.vocab.corpus.bad_row_policy import BadRowsError
from gatewise.vocab.corpus.records import BadRow
from gatewise.vocab.errors import GatewiseError


@dataclass(frozen=True, slots=True)
class SplitJob:
    """What every worker needs."""

    artifact: Artifact  # the verified contents of the model folder, which no worker needs to see
    plan: ScoringPlan
    sizes: SplitSizes
    parts: OutputParts
    strict: bool  # whether a bad row ends the run
    name_node: bool  # whether an error names its node


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of scoring a split."""

    split: Split
    counts: RowCounts = field(default_factory=RowCounts)  # the counts of its rows
    bytes_read: int = 0  # bytes read of its group of files, as stored on disk
    bad_rows: tuple[BadRow, ...] = ()  # its first bad rows, if they end the run
    failure: str | None = None  # the message of any other error that ends the run

    @property
    def has_failed(self) -> bool:
        """Whether the run ends here."""
        return bool(self.bad_rows) or self.failure is not None


class Scorer:
    """A worker. It returns errors instead of raising them, because Ray would wrap them."""

    def __init__(self) -> None:
        self._classifier: Classifier | None = None
        self._reader = SplitReader()
        # A worker has one CPU; the tokenizer would use all of them.
        os.environ["TOKENIZERS_PARALLELISM"] = "false"

    def score(self, job: SplitJob, group: Group, split: Split) -> Outcome:
        """Scores a split and writes it as a part."""
        try:
            if self._classifier is None:
                job.parts.check_visible()
                self._classifier = Classifier(job.artifact)
            chunks = self._reader.chunks(group, split, job.sizes)
            results = _results(self._classifier, job, chunks)
            counts = job.parts.write(split, job.plan.row_format, results)
        except BadRowsError as error:
            return Outcome(split, bad_rows=error.rows)
        except GatewiseError as error:
            where = f"on the node {ray.util.get_node_ip_address()}: " if job.name_node else ""
            return Outcome(split, failure=f"{where}{error}")
        return Outcome(split, counts, self._reader.bytes_read)


def _results(
    classifier: Classifier, job: SplitJob, chunks: Iterator[Items]
) -> Iterator[ScoredChunk]:
    # One thread scores while this one reads.
    with closing(in_order(partial(score_records, classifier, job.plan), chunks, 1)) as results:
        for chunk in results:
            if chunk.bad and job.strict:
                raise bad_rows_error(chunk, results)
            yield chunk
