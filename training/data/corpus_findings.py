"""What a check of a corpus found: findings, each with its numbers, an example row and advice."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import PurePath
from typing import Literal

from gatewise.training.config.config import Config
from gatewise.training.data.row_survey import RowSurvey
from gatewise.vocab.corpus.records import Location
from gatewise.vocab.errors import CorpusError

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class ExampleRow:
    """A row that shows a finding.

    Attributes:
        file: Its file.
        line: Its line, or its row in Parquet.
        shown: The label or the text in question.
    """

    file: str
    line: int
    shown: str

    @property
    def place(self) -> str:
        """The file without its folder, and the line in it."""
        return str(Location(PurePath(self.file).name, self.line))


@dataclass(frozen=True)
class CorpusFinding:
    """Something in a corpus that harms a model or its evaluation.

    Attributes:
        code: What it is, in one or two words that stay the same.
        severity: An `error` stops training.
        message: The finding with its numbers, one line.
        numbers: The numbers.
        advice: The setting or command that helps; empty if there is none.
        example: A row that shows it; None if no single row does.
    """

    code: str
    severity: Severity
    message: str
    numbers: Mapping[str, float]
    advice: str = ""
    example: ExampleRow | None = None

    def __str__(self) -> str:
        example = self.example
        where = f" ({Location(example.file, example.line)}: {example.shown})" if example else ""
        advice = f". {self.advice}" if self.advice else ""
        return f"{self.code}: {self.message}{where}{advice}"

    def as_dict(self, *, with_folder: bool = True) -> dict[str, object]:
        """The finding as a JSON object.

        Args:
            with_folder: Whether the example's file is named with its folder.
        """
        document = asdict(self)
        if self.example and not with_folder:
            document["example"]["file"] = PurePath(self.example.file).name
        return document


@dataclass(frozen=True)
class CorpusCheck:
    """The result of a check.

    Attributes:
        survey: The rows, counted.
        findings: What was found, the most severe first.
        notes: What was found out about how to read the corpora, one line each.
    """

    survey: RowSurvey
    findings: tuple[CorpusFinding, ...] = field(default=())
    notes: tuple[str, ...] = ()

    @property
    def errors(self) -> tuple[CorpusFinding, ...]:
        """The severe findings."""
        return tuple(found for found in self.findings if found.severity == "error")

    def with_findings(self, findings: Iterable[CorpusFinding]) -> "CorpusCheck":
        """The check with further findings."""
        order = ("error", "warning", "note")
        every = [*self.findings, *findings]
        ranked = sorted(every, key=lambda found: order.index(found.severity))
        return replace(self, findings=tuple(ranked))

    def as_dict(self) -> dict[str, object]:
        """The check as a JSON object."""
        return {
            "rows": dict(self.survey.rows),
            "labels": {
                label: {part: rows[label] for part, rows in self.survey.labels.items()}
                for label in self.survey.training_rows()
            },
            "findings": [found.as_dict() for found in self.findings],
            "notes": list(self.notes),
        }


def refuse(findings: Iterable[CorpusFinding], config: Config) -> None:
    """Stops a run at severe findings, unless the settings allow them.

    Raises:
        CorpusError: If there is a severe finding.
    """
    errors = [str(found) for found in findings if found.severity == "error"]
    if config.corpus.check == "stop" and errors:
        raise CorpusError(f"{'; '.join(errors)}. To train all the same, set corpus.check=warn")
