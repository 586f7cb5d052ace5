"""That no file of an output is one of the input, nor one that the next run would read.

Owns the refusals. Looks at names and at what they lead to; knows nothing of what is in a file.
"""

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
    """Refuses an output that is an input, or would be one of the next run.

    Args:
        sources: Files, folders, patterns and URIs, as they were given.
        records: What they stand for.
        output: The name of the output, and for a folder also what files in it are like; nothing
            for standard output.
        rejects: The rejects file.

    Raises:
        OutputError: Something that is written is an input, holds one, lies in a folder that is
            one, or is matched by a pattern that is one; or the rejects file is part of the output.
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
    what: str,
    written: Sequence[str],
    sources: Sequence[str | os.PathLike[str]],
    files: Sequence[str],
) -> None:
    target = written[0]
    kind = "file" if len(written) == 1 else "folder"
    for file in files:
        if _is_same(target, file):
            raise OutputError(f"{redact(target)}: the {what} is the input; name another {kind}")
        if lies_in(file, target):
            raise OutputError(
                f"{redact(target)}: the {what} would take the place of {redact(file)}, which is an "
                f"input; name another {kind}"
            )
    for source in [os.fspath(source) for source in sources]:
        if source != "-" and lies_in(target, source):
            raise OutputError(
                f"{redact(target)}: the {what} lies in the input folder, where the next run would "
                f"read it; name a {kind} elsewhere"
            )
        if any(would_match(source, name) for name in written):
            raise OutputError(
                f"{redact(target)}: the {what} matches {redact(source)}, so the next run would "
                "read "
                f"it; name another {kind}"
            )


def _is_same(one: str, other: str) -> bool:
    if identity(one) == identity(other):
        return True
    if is_uri(one) or is_uri(other):
        return False
    # Two names of one file need not be links that lead to it.
    return Path(one).exists() and Path(other).exists() and Path(one).samefile(other)
