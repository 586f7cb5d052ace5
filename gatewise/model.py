"""`Model`: the classifier with what notebooks and files need, as `gatewise.load` returns it."""

import json
import os
import shutil
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from gatewise.service.model.classifier import Classifier
from gatewise.service.model.errors import ModelFolderError
from gatewise.service.model.folder_reader import MemoryFiles, open_files
from gatewise.service.model.model_folder import (
    Artifact,
    read_contents,
    read_model_files,
    write_model_folder,
)

if TYPE_CHECKING:
    from gatewise.explained_text import ExplainedText
    from gatewise.frames import Missing
    from gatewise.notebook_html import ReportPage
    from gatewise.service.model.model_documents import Precision
    from gatewise.service.scoring.score_file import OnProgress
    from gatewise.service.scoring.summary import Summary
    from gatewise.training.evaluation.evaluate import Report
    from gatewise.training.evaluation.regression import RegressionReport
    from gatewise.training.report.contents import ReportContents
    from gatewise.training.report.figures import NotebookFigure
    from gatewise.vocab.corpus.read_options import Quoting


_LABELS_SHOWN = 10


class Model(Classifier):
    """A loaded model folder; safe to call from several threads.

    It can be pickled: the pickle holds the bytes of the folder, which are verified again.

    Attributes:
        trained: The metrics of the run that trained it, and what else its report is made from; None
            if it was loaded.
    """

    def __init__(self, loaded: Artifact, *, threads: int = 1) -> None:
        super().__init__(loaded, threads=threads)
        self.trained: ReportContents | None = None
        self._threads = threads
        self._temporary: Callable[[], object] | None = None
        self._source: Path | MemoryFiles = loaded.folder.path.absolute()

    @classmethod
    def load(
        cls, folder: str | Path, *, precision: "Precision | None" = None, threads: int = 1
    ) -> Self:
        """Reads and verifies a model folder; see `Classifier.load`."""
        model = super().load(folder, precision=precision, threads=threads)
        # A path inside a zip cannot be opened again.
        model._source = Path(folder).absolute()
        return model

    @classmethod
    def of_contents(
        cls, contents: Mapping[str, bytes], precision: "Precision | None" = None, threads: int = 1
    ) -> Self:
        """A model from the bytes of its files, by name; they are verified as those of a folder."""
        files = MemoryFiles(contents)
        model = cls(read_model_files(files, precision), threads=threads)
        model._source = files
        return model

    @property
    def folder(self) -> Path:
        """The folder that it was read from."""
        return self.artifact.folder.path

    @cached_property
    def metrics(self) -> Mapping[str, Any]:
        """The metrics of the training run, as `metrics.json` has them."""
        contents = self.contents()
        if "metrics.json" not in contents:
            raise ModelFolderError(
                f"{self.folder}: expected metrics.json, as gatewise train and gatewise.train write "
                "it"
            )
        metrics: Mapping[str, Any] = json.loads(contents["metrics.json"])
        return metrics

    def evaluate(
        self,
        texts: object,
        labels: object = None,
        *,
        text_column: str = "text",
        label_column: str | None = None,
        rejects: str | os.PathLike[str] | None = None,
    ) -> "Report | RegressionReport":
        """Classifies labelled texts and compares, as `gatewise evaluate` does.

        Args:
            texts: The texts; or, without labels, a path or a data frame, as `gatewise.train` takes
                them.
            labels: The labels of the texts, or their numbers; the columns of a matrix without names
                are those of `classes_`.
            text_column: Column of the texts in a file or a data frame.
            label_column: Column of the label or labels; None for `label`, else `labels`, or for
                `value`, else `values`, or the columns that the model's numbers are named after.
            rejects: A file for bad rows; without it a bad row ends the run.

        Raises:
            GatewiseError: If a row cannot be used; a `ValueError` too.
        """
        # Needs scikit-learn, which predicting does without; files are read with pyarrow.
        from gatewise.inputs import bad_rows_policy, labelled_rows  # noqa: PLC0415
        from gatewise.sources import source_of  # noqa: PLC0415
        from gatewise.training.evaluation.regression import report_on  # noqa: PLC0415
        from gatewise.vocab.corpus.columns import Columns  # noqa: PLC0415

        columns = (text_column, label_column)
        text, kind = self.encoding.column_of(text_column), self.encoding.input
        names = tuple(self.classes_)
        expected = Columns(text, label_column, self.task, input=kind, names=names)
        source = source_of(texts, labels, expected, "rows", self.classes_)
        with bad_rows_policy(None if rejects is None else Path(rejects)) as bad_rows:
            return report_on(self, labelled_rows(self, source, bad_rows, columns, quiet=True))

    def explain(self, text: str, label: str | None = None) -> "ExplainedText":
        """How much each token of a text speaks for a label; a notebook shades them.

        Args:
            text: The text.
            label: The label to explain; None for the best one.

        Raises:
            GatewiseError: If the text is not a string or has no token, or there is no such label.
        """
        from gatewise.explained_text import explain_text  # noqa: PLC0415 — a notebook's

        return explain_text(self, text, label)

    def predict_frame(
        self,
        frame: Any,
        text: str | int = "text",
        *,
        top_k: int | None = None,
        probabilities: bool = False,
        missing: "Missing" = "raise",
    ) -> Any:
        """A data frame with the predictions for its texts as further columns.

        Args:
            frame: A data frame of pandas or polars, a table of pyarrow or `datasets`, or a mapping
                of columns.
            text: Column of the texts; for a model of sequences of numbers, by default `sequence`.
            top_k: Labels given to each text; None for the predicted ones.
            probabilities: Whether each label has a column with its probability.
            missing: `raise` refuses missing texts and those without a token, `skip` gives them no
                prediction.

        Returns:
            A frame of the same type with the columns `label` and `score`, then `label_2` and so on;
            with several labels a text, `labels` and `scores`. Where the frame has such columns, the
            names begin with `predicted_`.

        Raises:
            GatewiseError: If there is no such column, or a text cannot be used; a `ValueError` too.
        """
        # Imports pyarrow, which texts alone do without.
        from gatewise.frames import predict_frame  # noqa: PLC0415

        return predict_frame(
            self, frame, text, top_k=top_k, probabilities=probabilities, missing=missing
        )

    def report(self) -> "ReportPage":
        """The report of the training run; a notebook shows it inline.

        An estimator writes none: it is made here, in the process that fitted the model.

        Raises:
            ModelFolderError: The model was loaded from a folder or a pickle without a report.
        """
        from gatewise.notebook_html import ReportPage  # noqa: PLC0415 — a notebook's

        contents = self.contents()
        if "report.html" in contents:
            return ReportPage(contents["report.html"].decode())
        if self.trained is None:
            raise ModelFolderError(
                f"{self.folder}: expected report.html, as gatewise train and gatewise.train write "
                "it; that of an estimator is made in the process that fits it: save the page there"
            )
        # Needs the extra `train`, and a second to import.
        from gatewise.training.report.page import page  # noqa: PLC0415

        return ReportPage(page(self.trained))

    def curves(self) -> "NotebookFigure":
        """A matplotlib figure of the losses and the validation metric by epoch."""
        # Needs matplotlib, of the extra `train`.
        from gatewise.training.report.figures import curves  # noqa: PLC0415

        return curves(self.metrics)

    def confusion(self) -> "NotebookFigure":
        """A matplotlib figure of the confusions on the test rows, else on the validation rows."""
        from gatewise.training.report.figures import confusion  # noqa: PLC0415 — likewise

        return confusion(self.metrics)

    def contents(self) -> dict[str, bytes]:
        """The bytes of every file of the model folder, by name.

        Raises:
            ModelFolderError: The folder was removed or changed after the model was loaded.
        """
        source = self._source
        files = open_files(source) if isinstance(source, Path) else source
        return read_contents(files, self.artifact.sha256)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the model folder to a path, whole or not at all.

        Args:
            path: The folder; an earlier model folder there is replaced.

        Raises:
            ModelFolderError: The path is taken or cannot be written; or the folder that the model
                was loaded from was removed or changed.
        """
        contents = self.contents()
        with write_model_folder(os.fspath(path)) as folder:
            for name, file in contents.items():
                (folder.path / name).parent.mkdir(parents=True, exist_ok=True)
                (folder.path / name).write_bytes(file)

    def without_folder(self) -> Self:
        """The same model with its files in memory; its temporary folder, if any, is removed."""
        self._source = MemoryFiles(self.contents())
        if self._temporary is not None:
            self._temporary()
        return self

    def remove_with_it(self, folder: Path) -> None:
        """Has a temporary folder removed when this model is, or when the process ends."""
        self._temporary = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.of_contents, (self.contents(), self.artifact.precision, self._threads)

    def _repr_html_(self) -> str:
        from gatewise.notebook_html import html_table  # noqa: PLC0415 — a notebook's

        network, labels = self.artifact.config.gatewise.network, self.classes_
        shown = ", ".join(labels[:_LABELS_SHOWN]) + (" …" if len(labels) > _LABELS_SHOWN else "")
        rows: dict[str, object] = {
            "labels": f"{len(labels)}: {shown}",
            "network": f"{network.direction} {network.cell}, {network.layers} x {network.units} "
            f"units, {network.parameters:,} parameters",
            "folder": self.folder,
        }
        try:
            metrics = self.metrics
        except ModelFolderError:  # it has none, or the folder is gone
            metrics = {}
        # A model that was exported has those of the export.
        if part := metrics.get("reviewed"):
            report = metrics[part]
            of = f"on {report['rows']:,} {part} rows"
            if self.task == "regression":
                for name, each in report.get("targets", {"": report}).items():
                    found = f"{each['rmse']:.4g} {of}, MAE {each['mae']:.4g}"
                    rows[f"RMSE of {name}" if name else "RMSE"] = found
            else:
                low, high = report["accuracy_interval"]
                rows["accuracy"] = (
                    f"{report['accuracy']:.4f} {of} (95% interval {low:.4f} to {high:.4f}), "
                    f"macro F1 {report['macro_f1']:.4f}"
                )
        return html_table(rows)

    def score_file(
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
        cascade: bool = False,
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
            cascade: Whether the linear path alone scores the rows that it is sure of, several times
                as fast, the whole network the rest.
            rejects: A file for bad rows; without it a bad row ends the run.
            resume: Whether to continue an interrupted run.
            workers: Cores to use; None for all.
            on_progress: Called repeatedly with the counts of rows so far and their share of the
                input.

        Raises:
            CorpusError: The input cannot be read, or the output cannot be written.
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
                cascade,
            ),
            rejects=rejects,
            resume=resume,
            parallelism=Parallelism(workers),
            on_progress=on_progress,
        )
