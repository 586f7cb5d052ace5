"""What a worker of a cluster does: a model loaded once, stretches scored, each written as a part.

Knows nothing of how many workers there are nor of which stretches the others have: whoever scores
a stretch writes the same bytes under the same name, so one that is scored again, because a worker
was lost, is there once all the same.
"""

import os
import pickle
from collections.abc import Iterator
from dataclasses import dataclass, field

import pyarrow as pa
import ray
import ray.util
from gatewise.service.model.model_config import Precision
from gatewise.service.scoring.options import ScoringPlan
from gatewise.service.scoring.ray.input_splits import InputSplit, Place, unpack
from gatewise.service.scoring.ray.model_bytes import unpacked
from gatewise.service.scoring.ray.output_parts import OutputParts
from gatewise.service.scoring.score_chunk import ScoredChunk, score_records
from gatewise.service.scoring.summary import RowCounts
from gatewise.vocab.corpus.records import BadRow
from gatewise.vocab.errors import GatewiseError

_TRIES = 4
"""How often a stretch is tried whose worker is lost, before it is taken to be the cause."""

_NAMED_ROWS = 3
"""Bad rows that are told of, where the first of them ends the run."""


@dataclass(frozen=True, slots=True)
class SplitJob:
    """What every worker is given.

    Attributes:
        model: The model as a parcel.
        precision: Which of its models.
        plan: What the output looks like.
        parts: Where it grows.
        token: What stands in the file `token` there, by which a node is known to see that folder.
        strict: Whether a bad row ends the run.
        name_node: Whether to say which node something went wrong on.
    """

    model: bytes
    precision: Precision
    plan: ScoringPlan
    parts: OutputParts
    token: str
    strict: bool
    name_node: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a stretch.

    Attributes:
        place: Where it stands.
        counts: What became of its rows.
        is_end: Whether it is what stands behind the last stretch of some files.
        bad: Its first bad rows, if they end the run.
        complaint: What else ends the run.
        read: Bytes of these files that were read up to here, as they are stored.
    """

    place: Place
    counts: RowCounts = field(default_factory=RowCounts)
    is_end: bool = False
    bad: tuple[BadRow, ...] = ()
    complaint: str | None = None
    read: int = 0

    @property
    def has_failed(self) -> bool:
        """Whether it ends the run."""
        return bool(self.bad) or self.complaint is not None


class _FoundBadRowsError(Exception):
    """Bad rows, where they end the run."""

    def __init__(self, rows: tuple[BadRow, ...]) -> None:
        super().__init__()
        self.rows = rows


class Scorer:
    """A worker, as Ray Data makes and calls it.

    What is wrong is part of what it answers: Ray would try an actor again that cannot be made, and
    would wrap an error in several of its own.

    Args:
        job: What it is given, which is in Ray's object store.
    """

    def __init__(self, job: "ray.ObjectRef[SplitJob]") -> None:
        self._job: SplitJob = ray.get(job)
        self._complaint: str | None = None
        # One worker takes one processor; the tokenizer would take all.
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        try:
            self._check_folder()
            self._classifier = unpacked(self._job.model, self._job.precision)
        except GatewiseError as error:
            self._complaint = self._told(error)

    def __call__(self, block: pa.Table) -> Iterator[pa.Table]:
        """Scores the stretches of a block."""
        for stretch in InputSplit.of_block(block):
            outcome = self._outcome(stretch)
            yield pa.table({"outcome": pa.array([pickle.dumps(outcome)], pa.binary())})

    def _outcome(self, stretch: InputSplit) -> Outcome:
        complaint = stretch.complaint or self._complaint
        if complaint is not None or stretch.is_end:
            return Outcome(
                stretch.place, is_end=stretch.is_end, complaint=complaint, read=stretch.read
            )
        job = self._job
        try:
            self._try(stretch.place)
            counts = job.parts.write(stretch.place, job.plan.table, self._scored(stretch))
        except _FoundBadRowsError as found:
            return Outcome(stretch.place, bad=found.rows)
        except GatewiseError as error:
            return Outcome(stretch.place, complaint=self._told(error))
        return Outcome(stretch.place, counts, read=stretch.read)

    def _try(self, place: Place) -> None:
        """Counts the tries, for Ray Data would have a stretch tried forever.

        Raises:
            GatewiseError: If there were enough.
        """
        if self._job.parts.count_try(place) > _TRIES:
            raise GatewiseError(
                f"{_TRIES} workers were lost, one after another, while they scored the stretch "
                f"{place} of the input: expected enough memory for each"
            )

    def _scored(self, stretch: InputSplit) -> Iterator[ScoredChunk]:
        """What becomes of the windows of a stretch, one after another.

        Raises:
            _FoundBadRowsError: At its end, if a bad row ends the run.
        """
        bad: list[BadRow] = []
        for window in stretch.windows:
            done = score_records(self._classifier, self._job.plan, unpack(window))
            if self._job.strict:
                bad += done.bad
            if len(bad) >= _NAMED_ROWS:
                break
            yield done
        if bad:
            raise _FoundBadRowsError(tuple(bad[:_NAMED_ROWS]))

    def _check_folder(self) -> None:
        path = self._job.parts.path
        try:
            found = (path.parent / "token").read_text()
        except OSError:
            found = ""
        if found != self._job.token:
            raise GatewiseError(
                f"{path.parent.parent}: this node does not see the folder of the output: expected "
                "one on a file system that all nodes share"
            )

    def _told(self, error: GatewiseError) -> str:
        where = f"on the node {ray.util.get_node_ip_address()}: " if self._job.name_node else ""
        return f"{where}{error}"
