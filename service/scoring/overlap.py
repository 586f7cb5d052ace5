"""That no file of an output is one of the input, nor one that the next run would read.

Owns the refusals. Looks at names and at what they lead to; knows nothing of what is in a file.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from vocab.errors import CorpusError
from vocab.inputs import would_match
from vocab.streams import RecordStream
from vocab.uris import identity, is_uri, lies_in, shown

OUTPUT, REJECTS = "output", "rejects file"


def refuse_overlap(
    sources: Sequence[str | os.PathLike[str]],
    records: RecordStream,
    names: Mapping[str, Sequence[str]],
) -> None:
    """Refuses an output that is an input, or would be one of the next run.

    Args:
        sources: Files, folders, patterns and URIs, as they were given.
        records: What they stand for.
        names: What is to be written, by what it is called: its name, and for a folder also what
            files in it are like.

    Raises:
        CorpusError: Something that is written is an input, holds one, lies in a folder that is
            one, or is matched by a pattern that is one; or the rejects file is part of the output.
    """
    output, rejects = (next(iter(names.get(what, ())), None) for what in (OUTPUT, REJECTS))
    if output is not None and rejects is not None:
        if _is_same(rejects, output):
            raise CorpusError(f"{rejects}: the rejects file is the output; name another file")
        if lies_in(rejects, output):
            raise CorpusError(f"{rejects}: the rejects file lies in the output; name another file")
    for what, written in names.items():
        _refuse(what, written, sources, [table.file.name for table in records.tables])


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
            raise CorpusError(f"{shown(target)}: the {what} is the input; name another {kind}")
        if lies_in(file, target):
            raise CorpusError(
                f"{shown(target)}: the {what} would take the place of {shown(file)}, which is an "
                f"input; name another {kind}"
            )
    for source in [os.fspath(source) for source in sources]:
        if source != "-" and lies_in(target, source):
            raise CorpusError(
                f"{shown(target)}: the {what} lies in the input folder, where the next run would "
                f"read it; name a {kind} elsewhere"
            )
        if any(would_match(source, name) for name in written):
            raise CorpusError(
                f"{shown(target)}: the {what} matches {shown(source)}, so the next run would read "
                f"it; name another {kind}"
            )


def _is_same(one: str, other: str) -> bool:
    if identity(one) == identity(other):
        return True
    if is_uri(one) or is_uri(other):
        return False
    # Two names of one file need not be links that lead to it.
    return Path(one).exists() and Path(other).exists() and Path(one).samefile(other)
