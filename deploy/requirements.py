"""Prints what a project requires, one package a line, so that it can be installed before it.

Owns the reading of `pyproject.toml` and nothing else; knows no package. The image is built with it:
as long as that file is the same, the layer with all packages is too.

    python deploy/requirements.py pyproject.toml serve
"""

import sys
import tomllib
from pathlib import Path


def requirements(pyproject: Path, *extras: str) -> list[str]:
    """The requirements of the base install and of some extras."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    wanted = list(project["dependencies"])
    for extra in extras:
        wanted += project["optional-dependencies"][extra]
    return wanted


if __name__ == "__main__":
    sys.stdout.write("\n".join(requirements(Path(sys.argv[1]), *sys.argv[2:])) + "\n")
