"""What the tests of the documents share: the pages, their tables, the script that fills them."""

import importlib.util
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="session")
def generate():
    """The script docs/generate.py, which is not part of a package."""
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def page():
    """Reads a page by its name, such as `corpora`."""
    return lambda name: (DOCS / f"{name}.md").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def tables(page):
    """Gives the cells of the rows of every table below a heading; backquotes are left in."""

    def of(name, heading):
        (_, _, below) = page(name).partition(f"\n## {heading}\n")
        section = below.partition("\n## ")[0]
        rows = [line for line in section.splitlines() if line.startswith("|")]
        cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
        # A table's head is the row before its ruler; neither is a row of it.
        rulers = [index for index, row in enumerate(cells) if set("".join(row)) == {"-"}]
        outside = {index - 1 for index in rulers} | set(rulers)
        assert rulers, f"{name}.md has no table below {heading!r}"
        return [row for index, row in enumerate(cells) if index not in outside]

    return of


@pytest.fixture(scope="session")
def generated(generate, page):
    """Compares the generated parts of a page with the code, and gives the names of those parts."""

    def check(name, kind):
        document = page(name)
        contents = {
            part: text for part, text in generate.parts().items() if part.partition(" ")[0] == kind
        }
        found = set(generate.names(document))
        assert found == set(contents), f"docs/{name}.md lacks a part, or has one too many"
        assert document == generate.filled(document, contents), (
            f"docs/{name}.md has drifted from the code: run python docs/generate.py"
        )
        return found

    return check


@pytest.fixture(scope="session")
def unquoted():
    """Takes the backquotes off a cell."""
    return lambda cell: re.sub(r"^`(.*)`$", r"\1", cell)
