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
    from gatewise.service.model.model_documents import Precision
    from gatewise.service.scoring.score_file import OnProgress
    from gatewise.service.scoring.summary import Summary
    from gatewise.training.run_metrics import RunMetrics


class Model(Classifier):
    """A loaded model folder; safe to call from several threads.

    It can be pickled: the pickle holds the bytes of the folder, which are verified again.

    Attributes:
        run: The metrics of the run that trained it; None if it was loaded.
    """

    def __init__(self, loaded: Artifact, *, threads: int = 1) -> None:
        super().__init__(loaded, threads=threads)
        self.run: RunMetrics | None = None
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
        metrics: Mapping[str, Any] = json.loads(self._document("metrics.json"))
        return metrics

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

    def _document(self, name: str) -> bytes:
        contents = self.contents()
        if name not in contents:
            raise ModelFolderError(
                f"{self.folder}: expected {name}, which the folder of a training run has"
            )
        return contents[name]

    def score_file(
        self,
        source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        output: str | os.PathLike[str],
        *,
        text_column: str = "text",
        delimiter: str | None = None,
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
                ReadOptions(delimiter, encoding, sheet),
            ),
            rejects=rejects,
            resume=resume,
            parallelism=Parallelism(workers),
            on_progress=on_progress,
        )
