"""Scores an input on a Ray cluster, into a folder of parts.

Reading, scoring and formatting are those of `gatewise.service.scoring`, in processes of any node
instead of threads.
"""

import time
from contextlib import closing, redirect_stdout
from dataclasses import asdict
from pathlib import Path
from sys import stderr

from gatewise.service.model.classifier import Classifier
from gatewise.service.model.model_documents import Precision
from gatewise.service.scoring.destination import deliver_rejects
from gatewise.service.scoring.journaled_output import JournaledOutput, ScoringProgress
from gatewise.service.scoring.options import ScoringOptions, ScoringPlan
from gatewise.service.scoring.ray import ray_pool
from gatewise.service.scoring.ray.input_splits import file_groups
from gatewise.service.scoring.ray.output_parts import OutputParts, PartitionedOutput
from gatewise.service.scoring.ray.ray_pool import Cluster
from gatewise.service.scoring.ray.split_scorer import Outcome, SplitJob
from gatewise.service.scoring.score_file import (
    OnProgress,
    check_earlier_rejects,
    check_unchanged,
    keeping_progress,
    run_conditions,
)
from gatewise.service.scoring.summary import RowCounts, Summary
from gatewise.vocab.corpus.record_stream import RecordStream
from gatewise.vocab.errors import CorpusError


def score_folder(
    model: Path,
    records: RecordStream,
    output: PartitionedOutput,
    options: ScoringOptions | None = None,
    *,
    precision: Precision | None = None,
    cluster: Cluster | None = None,
    resume: bool = False,
    on_progress: OnProgress | None = None,
) -> Summary:
    """Scores every text of an input on a Ray cluster.

    The model is sent to the workers. Every node reads the input, and sees the folder of the output,
    under the same names.

    The parts one after another, without their headers, are byte for byte the rows that
    `gatewise.service.scoring.score_file.score_file` writes. Bad rows are treated as there.

    The folder appears when all parts are complete. A run that fails leaves a folder
    `.NAME.partial` next to it, from which a later run can resume.

    Raises:
        ModelFolderError: The model cannot be loaded.
        CorpusError: The input cannot be read, or the output cannot be written.
        BadRowsError: A row is bad and there is no rejects file.
        ClusterError: The cluster does not exist, has too few free CPUs, or has failed.
        InterruptedRunError: One of these, and a later run can resume.
    """
    started = time.perf_counter()
    options, cluster = options or ScoringOptions(), cluster or Cluster()
    classifier = Classifier.load(model, precision=precision)
    _refuse_pipes(records)
    plan = ScoringPlan.of(classifier, records, output.part, options)
    conditions = {
        **run_conditions(classifier, records, options, cluster.sizes.chunk),
        "the size of splits": asdict(cluster.sizes),
    }
    groups = file_groups(records.tables, cluster.sizes.group)
    with JournaledOutput.open(
        str(output.folder), output.staging, conditions, resume=resume
    ) as journaled:
        parts = OutputParts.begin(output, keep=journaled.resumable)
        complete = parts.complete()
        earlier = sum(complete.values(), start=RowCounts())
        check_earlier_rejects(output.folder, earlier, output.rejects)
        journaled.commit(ScoringProgress())
        journaled.resumable = bool(earlier.scored)

        def deliver_all_rejects() -> None:
            if output.rejects is not None:
                for split in sorted(complete):
                    journaled.write(b"", parts.rejected(split))
                deliver_rejects(output.rejects, journaled)

        with keeping_progress(journaled, deliver_all_rejects):
            job = SplitJob(
                classifier.artifact,
                plan,
                cluster.sizes,
                parts,
                strict=output.rejects is None,
                name_node=cluster.address is not None,
            )
            progress = _ProgressReport(earlier, records.size, on_progress)
            # Ray prints what its processes print, and standard output is for results.
            with (
                redirect_stdout(stderr),
                ray_pool.opened(cluster) as workers,
                closing(ray_pool.outcomes(workers, job, groups, complete)) as outcomes,
            ):
                for outcome in outcomes:
                    complete[outcome.split] = outcome.counts
                    journaled.resumable = journaled.resumable or outcome.counts.scored > 0
                    progress.add(outcome)
            check_unchanged(records, journaled)
            deliver_all_rejects()
            parts.deliver(output.folder, complete)
    return Summary.of(
        progress.counts, plan, resumed=earlier.rows, seconds=time.perf_counter() - started
    )


class _ProgressReport:
    """Adds up the outcomes of a run, and reports the progress."""

    def __init__(self, earlier: RowCounts, size: int | None, report: OnProgress | None) -> None:
        self.counts = earlier
        self._size = size
        self._report = report
        self._read: dict[int, int] = {}  # group → bytes

    def add(self, outcome: Outcome) -> None:
        self.counts += outcome.counts
        group = outcome.split.group
        self._read[group] = max(self._read.get(group, 0), outcome.bytes_read)
        if self._report is not None:
            read = sum(self._read.values())
            self._report(self.counts, min(read / self._size, 1) if self._size else None)


def _refuse_pipes(records: RecordStream) -> None:
    for table in records.tables:
        if table.file.pipe is not None:
            raise CorpusError(
                f"{table.file}: expected files that every node of the cluster can read, received a "
                "pipe"
            )
