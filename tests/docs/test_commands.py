"""docs/commands.md says what the command says."""

import re
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import typer

from gatewise.cli import app

DOCS = Path(__file__).parents[2] / "docs"
CONSTRAINTS = DOCS.parent / "constraints.txt"
GROUP = typer.main.get_command(app)


def pinned_typer():
    lines = CONSTRAINTS.read_text(encoding="utf-8") if CONSTRAINTS.is_file() else ""
    found = re.search(r"^typer==(\S+)", lines, re.MULTILINE)
    return found[1] if found else None


def test_every_help_is_there_as_it_is_printed(generated):
    if pinned_typer() not in (None, version("typer")):
        pytest.skip(f"typer {version('typer')} words help differently from {pinned_typer()}")
    generated("commands", "help")


@pytest.mark.parametrize("command", sorted(GROUP.commands))
def test_every_command_has_its_options_and_an_example(page, command):
    section = page("commands").partition(f"\n## gatewise {command}\n")[2].partition("\n## ")[0]
    shown = set(re.findall(r"^  (--[a-z-]+)", section, re.MULTILINE))
    assert shown == {
        option
        for parameter in GROUP.commands[command].params
        if parameter.param_type_name == "option"
        for option in parameter.opts
    } | {"--help"}
    assert re.search(rf"^\$ (echo .* \| )?gatewise {command} .*\n[^$`]", section, re.MULTILINE)


def command_lines(document):
    """Every `gatewise …` in the blocks of a document; of a pipe, the part that is one."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", document, re.MULTILINE | re.DOTALL)
    shell = "".join(block for language, block in blocks if language in ("", "console", "sh"))
    return [
        part.strip().removesuffix(" &").partition(" > ")[0]
        for line in shell.replace("\\\n", " ").splitlines()
        for part in line.removeprefix("$ ").split(" | ")
        if part.strip().startswith("gatewise ")
    ]


@pytest.mark.parametrize(
    "path",
    [*sorted(DOCS.glob("*.md")), DOCS.parent / "README.md"],
    ids=lambda path: path.stem,
)
def test_every_command_shown_is_one_that_gatewise_takes(path):
    for line in command_lines(path.read_text(encoding="utf-8")):
        name, *arguments = shlex.split(line)[1:]
        try:
            GROUP.commands[name].make_context(name, arguments)
        except Exception as error:
            pytest.fail(f"{line}: {error}")


def test_the_commands_shown_are_found(page):
    assert len(command_lines(page("commands"))) >= len(GROUP.commands)


def test_the_exit_codes_are_those(tables, unquoted, tmp_path):
    rows = [row for row in tables("commands", "Exit codes") if row[2]]
    assert [row[0] for row in rows] == ["0", "1", "2"]
    for code, _, example in rows:
        arguments = unquoted(example).split()[1:]
        done = subprocess.run(
            [sys.executable, "-m", "gatewise", *arguments],
            cwd=tmp_path,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        assert done.returncode == int(code), done.stderr
        assert done.stderr.startswith("gatewise: error: ") == (code == "1")
        assert (done.stderr.count("\n") == 1) == (code == "1")
