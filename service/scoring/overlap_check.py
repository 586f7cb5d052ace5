"""Refuses an output that is part of the input, or that the next run would read as input."""

import os
from collections.abc import Sequence
from pathlib import Path

from gatewise.vocab.corpus.input_files import would_match
from gatewise.vocab.corpus.record_stream import RecordStream
from gatewise.vocab.corpus.uris import identity, is_uri, lies_in, redact
from gatewise.vocab.errors import OutputError


def refuse_overlap(
    sources: Sequence[str | os.PathLike[str]],
    records: RecordStream,
    output: Sequence[str],
    rejects: Path | None,
) -> None:
    """Refuses an output that is an input, or would be one in the next run.

    `output` is the name of the output; for a folder also that of a file in it; empty for standard
    output.

    Raises:
        OutputError: The output or the rejects file is an input, contains one, lies in an input
            folder or matches an input pattern; or the rejects file is part of the output.
    """
    files = [table.file.name for table in records.tables]
    if rejects is not None and output:
        if _is_same(str(rejects), output[0]):
            raise OutputError(f"{rejects}: the rejects file is the output; name another file")
        if lies_in(rejects, output[0]):
            raise OutputError(f"{rejects}: the rejects file lies in the output; name another file")
    if output:
        _refuse("output", output, sources, files)
    if rejects is not None:
        _refuse("rejects file", [str(rejects)], sources, files)


def _refuse(
    role: str,
    written: Sequence[str],
    sources: Sequence[str | os.PathLike[str]],
    files: Sequence[str],
) -> None:
    target = written[0]
    kind = "file" if len(written) == 1 else "folder"
    for file in files:
        if _is_same(target, file):
            raise OutputError(f"{redact(target)}: the {role} is the input; name another {kind}")
        if lies_in(file, target):
            raise OutputError(
                f"{redact(target)}: the {role} would replace {redact(file)}, which is an "
                f"input; name another {kind}"
            )
    for source in [os.fspath(source) for source in sources]:
        if source != "-" and lies_in(target, source):
            raise OutputError(
                f"{redact(target)}: the {role} lies in the input folder, where the next run would "
                f"read it; name a {kind} elsewhere"
            )
        if any(would_match(source, name) for name in written):
            raise OutputError(
                f"{redact(target)}: the {role} matches {redact(source)}, so the next run would "
                f"read it; name another {kind}"
            )


def _is_same(one: str, other: str) -> bool:
    if identity(one) == identity(other):
        return True
    if is_uri(one) or is_uri(other):
        return False
    # Hard links have different paths.
    return Path(one).exists() and Path(other).exists() and Path(one).samefile(other)
