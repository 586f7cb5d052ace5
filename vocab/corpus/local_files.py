"""Local files opened for pyarrow, whatever their names.

Given a path as text, pyarrow requires it to be UTF-8, and some of its functions take a colon in it
for the end of a URI's scheme. So a file is opened here, and pyarrow is given the file.
"""

import os
from typing import Literal

import pyarrow as pa


def open_local(path: str | os.PathLike[str], mode: Literal["rb", "wb"] = "rb") -> pa.OSFile:
    """Open a local file for reading, or anew for writing.

    Raises:
        OSError: The file cannot be opened.
    """
    return pa.OSFile(os.fsencode(path), mode)
