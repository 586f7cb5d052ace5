"""Files of annotation tools: Label Studio, Prodigy, Argilla and doccano, as records and as outputs.

Read are what the tools export, as a JSON list or as JSON Lines, recognized by their structure; any
other JSON list of objects is read too, a part of it at a time. Written are texts to be labelled or
corrected, with the labels that a model suggests, as the tools import them.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from gatewise.vocab.atomic_files import translate_write_errors
from gatewise.vocab.corpus import json_records
from gatewise.vocab.corpus.data_files import DataFile, Format, open_lines
from gatewise.vocab.corpus.json_records import defect
from gatewise.vocab.corpus.read_progress import ReadProgress
from gatewise.vocab.corpus.records import BadRow, Location, Record, readable
from gatewise.vocab.strict_json import decoder

Tool = Literal["label-studio", "prodigy", "argilla", "doccano"]

_AHEAD = 100
"""Records by which the tool and the columns are found."""

_SHOWN = 200
"""Characters shown of a list that is damaged."""

_PART = 1024 * 1024
"""Characters of a list that are read at a time, unless one object has more."""

_QUESTION = "label"
"""The name of the question, or of the control, in written files."""

_BETWEEN = re.compile(r"\s*,?\s*")
"""What separates the objects of a list."""

_LIST = re.compile(r"\[\s*($|\{|\])")
"""The first line of a list of objects; a whole list of other things is a bad row of JSON Lines."""

_Object = dict[str, Any]
_Answers = dict[str, list[str]]
"""The labels given in answer to each question; a question without an answer is left out."""


@dataclass(frozen=True)
class Annotation:
    """A text to be labelled, or whose labels are to be checked.

    Attributes:
        text: The text.
        suggested: The labels that a model suggests.
        score: The probability of the suggestion.
        labels: The labels that it has; None if it has none yet.
        file: The file that it comes from.
        line: Its line there.
    """

    text: str
    suggested: tuple[str, ...]
    score: float
    labels: tuple[str, ...] | None
    file: str
    line: int


def recognized(file: DataFile) -> DataFile:
    """A JSON file, as one of annotations if its first records are, or if it is a list of objects.

    Raises:
        CorpusError: It cannot be read or decompressed.
    """
    if file.pipe is not None:
        return file
    is_list = _is_list(file)
    first = _first_objects(file, is_list=is_list)
    read = _reader_of(first)
    if read is _plain and not is_list:
        return file
    several = any(
        len(labels) > 1 for answers in _answers(first, read) for labels in answers.values()
    )
    column = "labels" if several else "label"
    return replace(file, format=Format.ANNOTATIONS, label_column=column)


def columns_of(file: DataFile) -> tuple[str, ...]:
    """The columns: those of the texts, then `label`, or `labels` if a text may have several.

    Where several questions are answered, each is a column.

    Raises:
        CorpusError: The file cannot be read or decompressed.
    """
    rows = (record.values for record in records_of(file) if isinstance(record, Record))
    return tuple(dict.fromkeys(name for row in islice(rows, _AHEAD) for name in row))


def records_of(file: DataFile, progress: ReadProgress | None = None) -> Iterator[Record | BadRow]:
    """Read the records; an item without an annotation has no label.

    Of several annotations the most frequent one counts, of equally frequent ones the first.

    Args:
        file: The file.
        progress: Follows how much of the file has been read.

    Raises:
        CorpusError: The file cannot be read or decompressed.
    """
    is_list = _is_list(file)
    first = _first_objects(file, is_list=is_list)
    read = _reader_of(first)
    is_single = len({name for answers in _answers(first, read) for name in answers}) <= 1
    for item in _objects(file, progress, is_list=is_list):
        if isinstance(item, BadRow):
            yield item
            continue
        found = _read(read, dict(item.values))
        if found is None:
            yield item.bad("expected an annotated text of the same form as the first ones")
            continue
        fields, answers = found
        for name, labels in answers.items():
            if file.label_column == "label" and not labels:
                continue
            is_one = file.label_column == "label" and len(labels) == 1
            column = file.label_column if is_single else name
            fields[column] = labels[0] if is_one else labels
        yield replace(item, values=fields, raw="")


def write(path: Path, tool: Tool, rows: Iterable[Annotation], labels: Sequence[str]) -> None:
    """Writes texts in the form that a tool imports.

    Args:
        path: The file to write, with the suffix of `SUFFIXES`.
        tool: The tool.
        rows: The texts.
        labels: All labels that may be chosen.

    Raises:
        OutputError: The file cannot be written.
    """
    items = [_WRITERS[tool](replace(row, file=readable(row.file)), labels) for row in rows]
    lines = (json.dumps(item, ensure_ascii=False) for item in items)
    with translate_write_errors(path), path.open("w", encoding="utf-8") as file:
        if SUFFIXES[tool] == ".jsonl":
            file.writelines(f"{line}\n" for line in lines)
        else:
            file.write("[" + ",\n".join(lines) + "]\n")


def _first_objects(file: DataFile, *, is_list: bool) -> list[_Object]:
    if not is_list:
        return [dict(values) for values in json_records.first_records(file)]
    items = _objects(file, is_list=is_list)
    objects = (dict(item.values) for item in items if isinstance(item, Record))
    return list(islice(objects, _AHEAD))


def _is_list(file: DataFile) -> bool:
    with open_lines(file) as lines:
        first = next((line.strip() for line in lines if not line.isspace()), "")
    return _LIST.match(first) is not None


def _objects(
    file: DataFile, progress: ReadProgress | None = None, *, is_list: bool
) -> Iterator[Record | BadRow]:
    """The objects of a list, or of JSON Lines."""
    if not is_list:
        yield from json_records.records_of(file, progress)
        return
    with open_lines(file, progress) as lines:
        yield from _items(lines, str(file), file.encoding)


def _items(lines: Iterator[str], name: str, encoding: str) -> Iterator[Record | BadRow]:
    """The objects of a list, parsed while it is read."""
    scan = decoder().raw_decode
    text, is_whole = _part(lines), False
    while "[" not in text:
        text += _part(lines)
    place = text.index("[") + 1
    line = 1 + text.count("\n", 0, place)
    while True:
        between = _BETWEEN.match(text, place)
        start = between.end() if between else place
        is_end = text.startswith("]", start)
        values: Any = None
        end, error = start + 1, None
        if not is_end:
            try:
                values, end = scan(text, start)
            except (ValueError, RecursionError) as caught:
                error = caught
            is_cut = end >= len(text) if error is None else isinstance(error, json.JSONDecodeError)
            if is_cut and not is_whole:
                # As much again as there is, so that a long object is not parsed for each part.
                part = _part(lines, len(text) - place)
                text, place, is_whole = text[place:] + part, 0, not part
                continue
        line += text.count("\n", place, start)
        location, raw = Location(name, line), text[start:end]
        if is_end:
            rest = text[end:]
            while not rest.strip() and (part := _part(lines)):
                rest = part
            if rest := rest.strip():
                reason = "invalid JSON list: expected the end of the file after it"
                yield BadRow(location, reason, rest[:_SHOWN])
            return
        if error is not None:
            reason = str(getattr(error, "msg", error))
            reason = f"invalid JSON list: {reason[:1].lower()}{reason[1:]}"
            yield BadRow(location, reason, text[start : start + _SHOWN])
            return
        wrong = defect(values, raw, encoding)
        yield BadRow(location, wrong, raw) if wrong else Record(values, location, raw)
        line += text.count("\n", start, end)
        place = end


def _part(lines: Iterator[str], size: int = 0) -> str:
    """The next lines, about `_PART` characters or `size` if that is more; empty at the end."""
    found, length = [], 0
    for line in lines:
        found.append(line)
        length += len(line)
        if length >= max(size, _PART):
            break
    return "".join(found)


def _reader_of(first: Sequence[_Object]) -> "_Reader":
    """What reads the objects of a file, found by the structure of its first ones."""
    for fits, read in _READERS:
        if first and all(map(fits, first)):
            return read
    return _plain


def _read(read: "_Reader", item: _Object) -> tuple[dict[str, object], _Answers] | None:
    """The fields of an object and its answers; None if it is of another form."""
    try:
        fields, answers = read(item)
    except (AttributeError, KeyError, TypeError):
        return None
    return (fields, answers) if all(isinstance(each, list) for each in answers.values()) else None


def _answers(items: Iterable[_Object], read: "_Reader") -> list[_Answers]:
    return [found[1] for item in items if (found := _read(read, item)) is not None]


def _plain(item: _Object) -> tuple[dict[str, object], _Answers]:
    """An object as it is; the choices of Label Studio's short export are a list of labels."""
    fields: dict[str, object] = {}
    for name, value in item.items():
        inner = value.get("choices") if isinstance(value, dict) else value
        is_kept = inner is None or isinstance(inner, str | list)
        fields[name] = inner if is_kept else json.dumps(inner, ensure_ascii=False)
    return fields, {}


def _label_studio(item: _Object) -> tuple[dict[str, object], _Answers]:
    given: dict[str, list[list[str]]] = {}
    for annotation in item["annotations"]:
        results = () if annotation.get("was_cancelled") else annotation["result"]
        for result in results:
            if result.get("type") == "choices":
                given.setdefault(result["from_name"], []).append(result["value"]["choices"])
    return _texts(item["data"]), _agreed(given)


def _prodigy(item: _Object) -> tuple[dict[str, object], _Answers]:
    labels = item["accept"] if "accept" in item else [item["label"]] if "label" in item else []
    return {"text": item["text"]}, {_QUESTION: labels} if item["answer"] == "accept" else {}


def _argilla(item: _Object) -> tuple[dict[str, object], _Answers]:
    given = {
        question: [
            value if isinstance(value, list) else [str(value)]
            for value in (response["value"] for response in responses)
            if value is not None
        ]
        for question, responses in item["responses"].items()
    }
    return _texts(item["fields"]), _agreed(given)


def _doccano(item: _Object) -> tuple[dict[str, object], _Answers]:
    fields = _texts({name: item[name] for name in item if name != "label"})
    return fields, {_QUESTION: item["label"]}


def _texts(fields: _Object) -> dict[str, object]:
    return {name: value for name, value in fields.items() if isinstance(value, str)}


def _agreed(given: dict[str, list[list[str]]]) -> _Answers:
    """The most frequent answer to each question."""
    return {
        question: list(Counter(map(tuple, answers)).most_common(1)[0][0])
        for question, answers in given.items()
        if answers
    }


_Reader = Callable[[_Object], tuple[dict[str, object], _Answers]]

# https://labelstud.io/guide/task_format, https://prodi.gy/docs/api-interfaces,
# https://docs.argilla.io/latest/how_to_guides/import_export, doccano's example files.
_READERS: tuple[tuple[Callable[[_Object], bool], _Reader], ...] = (
    (
        lambda item: (
            isinstance(item.get("data"), dict) and isinstance(item.get("annotations"), list)
        ),
        _label_studio,
    ),
    (
        lambda item: (
            isinstance(item.get("fields"), dict) and isinstance(item.get("responses"), dict)
        ),
        _argilla,
    ),
    (
        lambda item: (
            "text" in item
            and item.get("answer") in ("accept", "reject", "ignore")
            and bool(item.keys() & {"label", "accept", "options"})
        ),
        _prodigy,
    ),
    (
        # Without the comments, it may as well be a plain corpus of several labels a text.
        lambda item: (
            {"id", "text", "Comments"} <= item.keys() and isinstance(item.get("label"), list)
        ),
        _doccano,
    ),
)


def _to_label_studio(row: Annotation, _: Sequence[str]) -> _Object:
    def result(labels: Sequence[str]) -> list[_Object]:
        control = {"from_name": _QUESTION, "to_name": "text", "type": "choices"}
        return [{**control, "value": {"choices": list(labels)}}]

    prediction = {"model_version": "gatewise", "score": row.score, "result": result(row.suggested)}
    return {
        "data": {"text": row.text, "file": row.file, "line": row.line},
        "annotations": [] if row.labels is None else [{"result": result(row.labels)}],
        "predictions": [prediction],
    }


def _to_prodigy(row: Annotation, labels: Sequence[str]) -> _Object:
    return {
        "text": row.text,
        "options": [{"id": label, "text": label} for label in labels],
        "accept": list(row.suggested),
        "meta": _meta(row),
    }


def _to_argilla(row: Annotation, _: Sequence[str]) -> _Object:
    value: object = row.suggested[0] if len(row.suggested) == 1 else list(row.suggested)
    return {
        "id": f"{row.file}:{row.line}",
        "fields": {"text": row.text},
        "metadata": _meta(row),
        "suggestions": {_QUESTION: {"value": value, "score": row.score, "agent": "gatewise"}},
        "responses": {},
        "vectors": {},
    }


def _to_doccano(row: Annotation, _: Sequence[str]) -> _Object:
    return {"text": row.text, "label": list(row.suggested), **_meta(row)}


def _meta(row: Annotation) -> _Object:
    given = {} if row.labels is None else {"given": " | ".join(row.labels)}
    return {"file": row.file, "line": row.line, "score": row.score, **given}


_WRITERS: dict[Tool, Callable[[Annotation, Sequence[str]], _Object]] = {
    "label-studio": _to_label_studio,
    "prodigy": _to_prodigy,
    "argilla": _to_argilla,
    "doccano": _to_doccano,
}
SUFFIXES: dict[Tool, str] = {
    "label-studio": ".json",
    "prodigy": ".jsonl",
    "argilla": ".json",
    "doccano": ".jsonl",
}
"""The suffix of a tool's files: of a JSON list, or of JSON Lines."""
