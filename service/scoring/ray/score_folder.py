"""A whole input of texts through the classifier on a Ray cluster, into a folder of parts.

Owns the walk: the model is sent to the workers, the input is read and scored there, and the parts
become a folder when all are there. The records, the scores and the rows are those of
`gatewise.service.scoring`; what is done there by threads is done here by processes of any node.
Knows no network, no format and no layout of rows.
"""

import secrets
import time
from collections.abc import Iterable, Mapping
from contextlib import closing, redirect_stdout
from dataclasses import asdict
from itertools import chain, repeat
from pathlib import Path
from sys import stderr

from gatewise.service.model.classifier import Classifier
from gatewise.service.model.model_config import Precision
from gatewise.service.ray_cluster import ClusterError
from gatewise.service.scoring.destination import deliver_rejects
from gatewise.service.scoring.journaled_output import JournaledOutput, Progress
from gatewise.service.scoring.options import ScoringOptions, ScoringPlan
from gatewise.service.scoring.ray import ray_pool
from gatewise.service.scoring.ray.input_splits import Place, shares
from gatewise.service.scoring.ray.model_bytes import packed
from gatewise.service.scoring.ray.output_parts import OutputParts, PartitionedOutput
from gatewise.service.scoring.ray.ray_pool import Cluster
from gatewise.service.scoring.ray.split_scorer import Outcome, SplitJob
from gatewise.service.scoring.score_file import InterruptedRunError, OnProgress, conditions
from gatewise.service.scoring.summary import RowCounts, Summary
from gatewise.vocab.corpus.bad_row_policy import first_bad_rows
from gatewise.vocab.corpus.record_stream import RecordStream
from gatewise.vocab.errors import CorpusError, GatewiseError


def score_folder(
    model: Path,
    records: RecordStream,
    output: PartitionedOutput,
    wishes: ScoringOptions | None = None,
    *,
    precision: Precision | None = None,
    cluster: Cluster | None = None,
    resume: bool = False,
    on_progress: OnProgress | None = None,
) -> Summary:
    """Scores every text of an input on a Ray cluster.

    The parts one after another, without their headers, are what
    `gatewise.service.scoring.score_file.score_file`
    writes: the same rows in the same order, the same scores, the same bytes of a row. What a bad
    row is, and that it ends the run unless there is a file for it, is told there too.

    The folder appears when all parts are whole. A run that is broken off leaves a folder
    `.NAME.partial` beside it, from which another can go on.

    Args:
        model: A model folder, or a zip of one. It is sent to the workers, which need none.
        records: The input, which every node can read under the same names.
        output: The folder to write, which every node sees.
        wishes: What the output is to hold.
        precision: Which of the folder's models; None for the most exact one.
        cluster: Where this is done; None for all processors of this machine.
        resume: Whether to keep the parts of a run that was broken off, if there is one.
        on_progress: Called after every part.

    Raises:
        ModelFolderError: The model cannot be loaded.
        CorpusError: The input cannot be read or holds no row that can be scored, or the output
            cannot be written.
        BadRowsError: A row is bad and there is no file for it.
        ClusterError: There is no such cluster, or no room on it, or it has failed.
        InterruptedRunError: One of the latter three, after a part was whole.
    """
    started = time.perf_counter()
    wishes, cluster = wishes or ScoringOptions(), cluster or Cluster()
    classifier = Classifier.load(model, precision=precision)
    _refuse_pipes(records)
    plan = ScoringPlan.of(classifier, records, output.part, wishes)
    given = {
        **conditions(classifier, records, wishes, cluster.sizes.window),
        "the parts": asdict(cluster.sizes),
    }
    parts = OutputParts.of(output)
    with JournaledOutput.open(str(output.folder), output.staging, given, resume=resume) as staging:
        if not staging.kept:
            parts.clear()
        parts.begin()
        earlier = parts.whole()
        if output.rejects is None:
            # What was set aside by an earlier run would be nowhere.
            earlier = {place: counts for place, counts in earlier.items() if not counts.rejected}
        staging.commit(Progress())
        try:
            job = SplitJob(
                packed(model, classifier),
                classifier.artifact.precision,
                plan,
                parts,
                secrets.token_hex(),
                strict=output.rejects is None,
                name_node=cluster.address is not None,
            )
            staging.beside("token").write_text(job.token)
            whole = _whole(job, records, cluster, earlier, on_progress)
            counts = _some(records, whole)
            _deliver_rejects(output, staging, parts, whole)
            parts.deliver(output.folder, whole)
        except BaseException as error:
            whole = parts.whole()
            staging.kept = bool(_sum(whole).scored)
            if not isinstance(error, GatewiseError):
                raise
            if staging.kept:
                raise InterruptedRunError(
                    f"{error}. What was done is kept: go on from there with --resume"
                ) from error
            _deliver_rejects(output, staging, parts, whole)
            raise
    return Summary.of(
        counts, plan, resumed=_sum(earlier).rows, seconds=time.perf_counter() - started
    )


def _whole(
    job: SplitJob,
    records: RecordStream,
    cluster: Cluster,
    earlier: Mapping[Place, RowCounts],
    on_progress: OnProgress | None,
) -> dict[Place, RowCounts]:
    """Has everything scored that is not there yet.

    Returns:
        All parts, with what became of their rows.

    Raises:
        GatewiseError: If something ends the run before its time.
    """
    files = shares(records.tables, cluster.sizes.share)
    # Ray prints what its processes print, and standard output is not for that.
    with (
        redirect_stdout(stderr),
        ray_pool.opened(cluster, len(files)) as workers,
        closing(ray_pool.outcomes(workers, job, files, cluster.sizes, earlier)) as outcomes,
    ):
        return _collected(outcomes, records.size, len(files), earlier, on_progress)


def _collected(
    outcomes: Iterable[Outcome],
    size: int | None,
    files: int,
    earlier: Mapping[Place, RowCounts],
    on_progress: OnProgress | None,
) -> dict[Place, RowCounts]:
    whole, counts = dict(earlier), _sum(earlier)
    ends: dict[int, int] = {}
    read = [0] * files
    failed: Outcome | None = None
    for outcome in outcomes:
        place = outcome.place
        read[place.share] = max(read[place.share], outcome.read)
        if outcome.is_end:
            ends[place.share] = place.number
        elif not outcome.has_failed:
            whole[place] = outcome.counts
            counts += outcome.counts
            if on_progress is not None:
                on_progress(counts, min(sum(read) / size, 1) if size else None)
        elif failed is None or place < failed.place:
            failed = outcome
        # What stands before it in its file is under way, and may have failed too.
        if failed is not None and all(place in whole for place in _before(failed.place)):
            break
    if failed is not None:
        raise _failure(failed)
    lost = [
        place
        for share in range(files)
        for place in _before(Place(share, ends.get(share, 1)))
        if share not in ends or place not in whole
    ]
    if lost:
        raise ClusterError(f"Ray has lost {len(lost)} parts of the input, such as {lost[0]}")
    return whole


def _before(place: Place) -> list[Place]:
    return [Place(place.share, number) for number in range(place.number)]


def _failure(outcome: Outcome) -> GatewiseError:
    if outcome.bad:
        # What follows elsewhere is not known: there may be more.
        return first_bad_rows(outcome.bad[0], chain(outcome.bad[1:], repeat(None)))
    return CorpusError(outcome.complaint)


def _some(records: RecordStream, whole: Mapping[Place, RowCounts]) -> RowCounts:
    if not (counts := _sum(whole)).scored:
        raise CorpusError(f"{records.path}: holds no rows that can be used")
    return counts


def _sum(parts: Mapping[Place, RowCounts]) -> RowCounts:
    return sum(parts.values(), start=RowCounts())


def _deliver_rejects(
    output: PartitionedOutput,
    staging: JournaledOutput,
    parts: OutputParts,
    whole: Mapping[Place, RowCounts],
) -> None:
    if output.rejects is not None:
        for place in sorted(whole):
            staging.write(b"", parts.rejected(place))
        deliver_rejects(output.rejects, staging)


def _refuse_pipes(records: RecordStream) -> None:
    for table in records.tables:
        if table.file.pipe is not None:
            raise CorpusError(
                f"{table.file}: only one process can read it: expected files that every node of "
                "the cluster can read"
            )
