"""Writes the generated parts of these documents, so that they cannot drift from the code.

A generated part stands between `<!-- begin: NAME -->` and `<!-- end -->`: the help of each
command, the table of each section of settings, the modules of each package. The tests compare
them with what this script would write; `python docs/generate.py` brings them up to date.

The examples of `docs/commands.md` are commands with the output they gave. Their figures belong to
one machine, so nothing compares them; `--examples` runs them all again, which trains a model.
"""

import argparse
import ast
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import typer

from gatewise.cli import app
from gatewise.training.config.config import Config

DOCS = Path(__file__).parent
ROOT = DOCS.parent
ROOMS = ("vocab", "service", "training", "gatewise")
WIDTH = 100

_PART = re.compile(r"(<!-- begin: (?P<name>.+?) -->\n)(?P<body>.*?)(<!-- end -->)", re.DOTALL)
_EXAMPLE = "example "
# An output of more lines than the first is shown by its beginning and its end.
_LINES_SHOWN, _LINES_BEGINNING, _LINES_END = 32, 8, 6
_EXAMPLE_WIDTH = 118


def parts() -> dict[str, str]:
    """Every generated part but the examples, by its name."""
    return {**_helps(), **_settings(), **_modules()}


def filled(document: str, contents: Mapping[str, str]) -> str:
    r"""A document with the parts that are given written anew, and the others as they are.

    >>> filled("<!-- begin: a -->\nold\n<!-- end -->", {"a": "new"})
    '<!-- begin: a -->\nnew\n<!-- end -->'
    """

    def body(part: re.Match[str]) -> str:
        content = contents.get(part["name"])
        written = part["body"] if content is None else content + "\n"
        return part[1] + written + part[4]

    return _PART.sub(body, document)


def names(document: str) -> list[str]:
    """The names of the generated parts of a document, the examples left out."""
    found = [part["name"] for part in _PART.finditer(document)]
    return [name for name in found if not name.startswith(_EXAMPLE)]


def help_text(command: str = "") -> str:
    """What `gatewise COMMAND --help` prints on a terminal of `WIDTH` columns."""
    group: Any = typer.main.get_command(app)
    context = typer.Context(group, info_name="gatewise", terminal_width=WIDTH)
    if not command:
        return str(group.get_help(context))
    wanted = group.commands[command]
    inner = typer.Context(wanted, info_name=command, parent=context, terminal_width=WIDTH)
    return str(wanted.get_help(inner))


def type_in_words(schema: Mapping[str, Any]) -> str:
    """What a setting takes, from its JSON schema.

    >>> type_in_words({"type": "integer", "minimum": 1, "maximum": 8})
    'integer, 1 to 8'
    """
    if "anyOf" in schema:
        return ", or ".join(type_in_words(choice) for choice in schema["anyOf"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return "one of " + ", ".join(f"`{value}`" for value in schema["enum"])
    if schema["type"] == "array":
        return f"list of {type_in_words(schema['items']).replace('integer,', 'integers,')}"
    plain = {"string": "text", "boolean": "`true` or `false`", "object": "table of texts"}
    kind = str(schema["type"])
    return plain.get(kind, kind) + _bounds(schema)


def _bounds(schema: Mapping[str, Any]) -> str:
    least, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    most, below = schema.get("maximum"), schema.get("exclusiveMaximum")
    if least is not None and most is not None:
        return f", {least:,} to {most:,}"
    words = [
        f"{least:,} or more" if least is not None else "",
        f"above {above:,}" if above is not None else "",
        f"{most:,} or less" if most is not None else "",
        f"below {below:,}" if below is not None else "",
    ]
    return "".join(f", {word}" for word in words if word)


def _helps() -> dict[str, str]:
    group: Any = typer.main.get_command(app)
    commands = {f"help {name}": _fenced(help_text(name)) for name in group.commands}
    return {"help": _fenced(help_text()), **commands}


def _fenced(text: str) -> str:
    lines = "\n".join(line.rstrip() for line in text.strip().splitlines())
    return f"```text\n{lines}\n```"


def _settings() -> dict[str, str]:
    tables = {}
    for section, field in Config.model_fields.items():
        model: Any = field.annotation
        schema = model.model_json_schema()
        rows = [
            f"| `{section}.{name}` | {type_in_words(schema['properties'][name])} "
            f"| {_default(value.default)} | {value.description} |"
            for name, value in model.model_fields.items()
        ]
        head = ["| setting | takes | default | meaning |", "|---|---|---|---|"]
        tables[f"settings {section}"] = "\n".join([*head, *rows])
    return tables


def _default(value: object) -> str:
    return "not set" if value is None else f"`{json.dumps(value)}`"


def _modules() -> dict[str, str]:
    tables = {}
    for room in ROOMS:
        files = sorted((ROOT / room).glob("**/*.py"))
        rows = [
            f"| `{file.relative_to(ROOT).as_posix()}` | {_first_sentence(file)} |"
            for file in files
            if file.name != "__init__.py"
        ]
        tables[f"modules {room}"] = "\n".join(["| module | what |", "|---|---|", *rows])
    return tables


def _first_sentence(file: Path) -> str:
    docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return " ".join(docstring.partition("\n\n")[0].split()).replace("|", r"\|")


def _examples(document: str, shell: Callable[[str], str]) -> Iterator[tuple[str, str]]:
    for part in _PART.finditer(document):
        if part["name"].startswith(_EXAMPLE):
            commands = [line for line in part["body"].splitlines() if line.startswith("$ ")]
            lines = [f"{command}\n{_shortened(shell(command[2:]))}" for command in commands]
            yield part["name"], "```console\n" + "\n".join(lines) + "\n```"


def _shortened(output: str) -> str:
    lines = output.rstrip("\n").split("\n")
    if len(lines) > _LINES_SHOWN:
        lines = [*lines[:_LINES_BEGINNING], "…", *lines[-_LINES_END:]]
    return "\n".join(
        line if len(line) <= _EXAMPLE_WIDTH else line[: _EXAMPLE_WIDTH - 1] + "…" for line in lines
    )


def _run_examples(document: str) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "examples").symlink_to(ROOT / "examples")

        def shell(command: str) -> str:
            sys.stderr.write(f"$ {command}\n")
            # The commands are this repository's own documentation.
            done = subprocess.run(  # noqa: S602
                command,
                shell=True,
                cwd=scratch,
                env={**os.environ, "COLUMNS": str(_EXAMPLE_WIDTH)},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                check=False,
            )
            return done.stdout

        shell("python examples/languages/prepare.py --out runs/languages")
        return dict(_examples(document, shell))


def main() -> None:
    """Brings every document of this folder up to date."""
    parser = argparse.ArgumentParser(description="Writes the generated parts of the documents.")
    parser.add_argument("--examples", action="store_true", help="Run the examples again too.")
    with_examples = parser.parse_args().examples
    contents = parts()
    for path in sorted(DOCS.glob("*.md")):
        document = path.read_text(encoding="utf-8")
        has_examples = f"<!-- begin: {_EXAMPLE}" in document
        examples = _run_examples(document) if with_examples and has_examples else {}
        written = filled(document, {**contents, **examples})
        if written != document:
            path.write_text(written, encoding="utf-8")
            sys.stdout.write(f"{path.relative_to(ROOT)}: brought up to date\n")


if __name__ == "__main__":
    main()
