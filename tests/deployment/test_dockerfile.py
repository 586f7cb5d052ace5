"""No container engine is needed: what is checked is what the files say."""

import fnmatch
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

ROOT = Path(__file__).parents[2]


class Instruction(NamedTuple):
    stage: str
    name: str
    rest: str


def instructions() -> Iterator[Instruction]:
    lines = (ROOT / "Dockerfile").read_text().replace("\\\n", "").splitlines()
    stage = ""
    for line in lines:
        name, _, rest = line.partition(" ")
        if name == "FROM":
            stage = rest.split(" AS ")[1]
        if name and name != "#":
            yield Instruction(stage, name, rest)


def of(stage: str, name: str) -> list[str]:
    return [each.rest for each in instructions() if (each.stage, each.name) == (stage, name)]


def parents(stage: str) -> set[str]:
    """The stages that go into one: those it builds on, and those it copies from."""
    (base,) = of(stage, "FROM")
    copied = re.findall(r"--from=(\S+)", " ".join(of(stage, "COPY")))
    named = {base.split()[0], *copied} & {each.stage for each in instructions()}
    return {stage}.union(*map(parents, named))


def extras_installed_in(stage: str) -> set[str]:
    installs = [install for each in parents(stage) for install in of(each, "RUN")]
    return {extra for install in installs for extra in re.findall(r'"\.\[([\w-]+)\]"', install)}


def test_the_service_is_what_is_built_by_default() -> None:
    assert list(instructions())[-1].stage == "service"


def test_what_is_copied_is_there_and_sent_to_the_engine() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    sent = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    sources = {
        source
        for each in instructions()
        if each.name == "COPY" and "--from" not in each.rest
        for source in each.rest.split()[:-1]
    }
    assert sources == sent
    assert not [source for source in sources if not (ROOT / source).exists()]


def test_every_package_is_copied() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    copied = " ".join(of("source", "COPY")).split()
    assert set(packages) <= set(copied)


def test_the_service_image_holds_no_tensorflow() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert extras_installed_in("service") == {"serve"}
    installed = project["dependencies"] + project["optional-dependencies"]["serve"]
    heavy = ("tensorflow*", "keras*", "torch*", "ray*", "scikit-learn*", "onnx[!r]*")
    assert not [each for each in installed if any(fnmatch.fnmatch(each, name) for name in heavy)]
    assert extras_installed_in("train") == {"train"}


def test_every_install_is_under_the_constraints() -> None:
    installs = [each.rest for each in instructions() if "pip install" in each.rest]
    assert installs
    assert all("--constraint constraints.txt" in install for install in installs)


def test_no_image_runs_as_root() -> None:
    assert of("runtime", "USER") == ["10001:10001"]
    for stage in ("service", "train"):
        assert "runtime" in parents(stage)
        assert not of(stage, "USER")


def test_the_command_line_takes_the_images_command() -> None:
    (command,) = of("service", "CMD")
    arguments = json.loads(command)
    assert arguments[:3] == ["gatewise", "serve", "/model"]
    # A folder that is not there: 1 is its refusal, 2 would be wrong usage.
    absent = ["no/such/model" if each == "/model" else each for each in arguments[1:]]
    script = "import sys; from gatewise.cli import main; sys.exit(main())"
    ended = subprocess.run(
        [sys.executable, "-c", script, *absent],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert ended.returncode == 1
    assert "no/such/model" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_health_is_asked_at_the_exposed_port_and_the_same_by_both_files() -> None:
    (check,) = of("service", "HEALTHCHECK")
    options, _, command = check.partition("CMD ")
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    composed = compose["services"]["gatewise"]["healthcheck"]
    assert composed.pop("test") == ["CMD", *json.loads(command)]
    assert composed.pop("retries") == int(re.findall(r"--retries=(\d+)", options)[0])
    for name, value in composed.items():
        assert f"--{name.replace('_', '-')}={value}" in options.split()
    (port,) = of("service", "EXPOSE")
    assert f"http://127.0.0.1:{port}/health/ready" in command


def test_the_health_checks_code_tells_a_ready_service_from_none() -> None:
    (check,) = of("service", "HEALTHCHECK")
    arguments = json.loads(check.partition("CMD ")[2])
    assert arguments[:2] == ["python", "-c"]
    # Port 9 is nobody's on the loopback.
    code = arguments[2].replace(":8000", ":9")
    ended = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True
    )
    assert ended.returncode == 1
    assert "Connection refused" in ended.stderr
