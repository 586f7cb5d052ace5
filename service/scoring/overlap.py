"""That no file of an output is one of the input, nor one that the next run would read.

Owns the refusals. Looks at names and at what they lead to; knows nothing of what is in a file.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from service.scoring.delivery import Destination
from vocab.errors import CorpusError
from vocab.inputs import would_match
from vocab.streams import RecordStream
from vocab.uris import identity, is_uri, lies_in, shown


def refuse_overlap(
    sources: Sequence[str | os.PathLike[str]], records: RecordStream, destination: Destination
) -> None:
    """Refuses an output that is an input, or would be one of the next run.

    Args:
        sources: Files, folders, patterns and URIs, as they were given.
        records: What they stand for.
        destination: The output.

    Raises:
        CorpusError: The output or the rejects file is an input, lies in a folder that is one, or
            is matched by a pattern that is one; or they are the same file.
    """
    targets = {} if destination.piped else {"output": destination.file.name}
    if destination.rejects is not None:
        targets["rejects file"] = os.fspath(destination.rejects)
    if len(targets) == 2 and _is_same(*targets.values()):
        raise CorpusError(
            f"{destination.rejects}: the rejects file is the output; name another file"
        )
    for what, target in targets.items():
        _refuse(what, target, sources, [table.file.name for table in records.tables])


def _refuse(
    what: str, target: str, sources: Sequence[str | os.PathLike[str]], files: Sequence[str]
) -> None:
    if any(_is_same(target, file) for file in files):
        raise CorpusError(f"{shown(target)}: the {what} is the input; name another file")
    for source in [os.fspath(source) for source in sources]:
        if source != "-" and lies_in(target, source):
            raise CorpusError(
                f"{shown(target)}: the {what} lies in the input folder, where the next run would "
                "read it; name a file elsewhere"
            )
        if would_match(source, target):
            raise CorpusError(
                f"{shown(target)}: the {what} matches {shown(source)}, so the next run would read "
                "it; name another file"
            )


def _is_same(one: str, other: str) -> bool:
    if identity(one) == identity(other):
        return True
    if is_uri(one) or is_uri(other):
        return False
    # Two names of one file need not be links that lead to it.
    return Path(one).exists() and Path(other).exists() and Path(one).samefile(other)
