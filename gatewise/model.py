"""`Model`: the classifier with file scoring, as `gatewise.load` returns it."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gatewise.service.model.classifier import Classifier

if TYPE_CHECKING:
    from gatewise.service.scoring.score_file import OnProgress
    from gatewise.service.scoring.summary import Summary
    from gatewise.vocab.corpus.read_options import Quoting


class Model(Classifier):
    """A loaded model folder; safe to call from several threads."""

    def score(
        self,
        source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        output: str | os.PathLike[str],
        *,
        text_column: str = "text",
        delimiter: str | None = None,
        quoting: "Quoting | None" = None,
        encoding: str | None = None,
        sheet: str | None = None,
        columns: Sequence[str] | None = None,
        top_k: int | None = None,
        probabilities: bool = False,
        none_below: float | None = None,
        rejects: str | os.PathLike[str] | None = None,
        resume: bool = False,
        workers: int | None = None,
        on_progress: "OnProgress | None" = None,
    ) -> "Summary":
        """Scores every row of files into a file, as `gatewise score` does.

        Args:
            source: Files, folders, patterns or URIs, as `open_records` takes them.
            output: The file or URI to write; its suffixes choose format and compression.
            text_column: Column of the texts.
            delimiter: Delimiter of CSV and TSV; None to find it in each file.
            quoting: `double` if cells of CSV and TSV may stand in double quotes, `none` if a quote
                is a character like others; None to find it in each file.
            encoding: Encoding of text files; None to find it in each file.
            sheet: Sheet of Excel files; None for the first.
            columns: Columns of the output, from the input and the predictions; None for all.
            top_k: Labels given to each text; None for the predicted ones.
            probabilities: Whether each label has a column with its probability.
            none_below: Give no label below this probability, 0 to always give one; None for the
                model's own threshold.
            rejects: A file for bad rows; without it a bad row ends the run.
            resume: Whether to continue an interrupted run.
            workers: Cores to use; None for all.
            on_progress: Called repeatedly with the counts of rows so far and their share of the
                input.

        Raises:
            CorpusError: The input cannot be read or holds no row that can be scored, or the
                output cannot be written.
            BadRowsError: A row is bad and there is no file for it.
            InterruptedRunError: One of these, after so much work that it was kept.
            TypeError: If the columns are one string instead of a sequence of them.
        """
        # Files are read and written with pyarrow, which texts alone do without.
        from gatewise.service.scoring.options import ScoringOptions  # noqa: PLC0415
        from gatewise.service.scoring.score_file import Parallelism, score_file  # noqa: PLC0415
        from gatewise.vocab.corpus.read_options import ReadOptions  # noqa: PLC0415

        if isinstance(columns, str):
            raise TypeError("columns: expected a sequence of names, received one string")
        chosen = None if columns is None else tuple(columns)
        return score_file(
            self,
            source,
            output,
            ScoringOptions(
                text_column,
                top_k,
                probabilities,
                chosen,
                none_below,
                ReadOptions(delimiter, encoding, sheet, quoting),
            ),
            rejects=rejects,
            resume=resume,
            parallelism=Parallelism(workers),
            on_progress=on_progress,
        )
