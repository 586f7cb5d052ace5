"""The Dockerfile, read and replayed in a folder without a container engine."""

import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


class Instruction(NamedTuple):
    stage: str
    name: str
    rest: str


def instructions():
    lines = re.sub(r" *\\\n *", " ", (ROOT / "Dockerfile").read_text()).splitlines()
    stage = ""
    for line in lines:
        name, _, rest = line.partition(" ")
        if name == "FROM":
            stage = rest.split(" AS ")[1]
        if name and not name.startswith("#"):
            yield Instruction(stage, name, rest)


def of(stage, name):
    return [each.rest for each in instructions() if (each.stage, each.name) == (stage, name)]


def parents(stage):
    """The stages that go into one: those it builds on, and those it copies from."""
    (base,) = of(stage, "FROM")
    copied = re.findall(r"--from=(\S+)", " ".join(of(stage, "COPY")))
    named = {base.split()[0], *copied} & {each.stage for each in instructions()}
    return {stage}.union(*map(parents, named))


def extras_installed_in(stage):
    steps = [step for each in parents(stage) for step in of(each, "RUN")]
    pattern = r"deploy/requirements\.py pyproject\.toml ([\w -]+) >"
    return {
        extra for step in steps for found in re.findall(pattern, step) for extra in found.split()
    }


def test_what_is_copied_is_there_and_sent_to_the_engine():
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
    packages = " ".join(of("wheel", "COPY")).split()
    assert {"setup.py", "gatewise", "vocab", "service", "training"} <= set(packages)


def test_the_service_image_holds_no_tensorflow():
    assert extras_installed_in("service") == {"serve"}
    installed = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["serve"]
    heavy = ("tensorflow*", "keras*", "torch*", "ray*", "scikit-learn*", "onnx[!r]*")
    assert not [each for each in installed if any(fnmatch.fnmatch(each, name) for name in heavy)]
    assert extras_installed_in("train") == {"train"}


def test_every_install_is_under_the_constraints():
    installs = [each.rest for each in instructions() if re.search(r"\bpip .*install", each.rest)]
    assert len(installs) == 4
    for install in installs:
        # From an index, wheels of the tested versions; else the project's own wheel and no more.
        from_index = "--only-binary :all: --constraint constraints.txt" in install
        assert from_index != ("--no-index --no-deps /wheels/*.whl" in install)


def test_a_change_of_the_code_installs_no_package_again():
    for stage in ("service-packages", "train-packages"):
        copied = {source for each in parents(stage) for source in of(each, "COPY")}
        assert copied == {
            "pyproject.toml constraints.txt ./",
            "deploy/requirements.py deploy/requirements.py",
        }


def test_what_builds_is_not_in_the_images_and_none_runs_as_root():
    for stage in ("service", "train"):
        assert not of(stage, "RUN")
        (copied,) = of(stage, "COPY")
        assert copied.split()[1:] == ["/opt/gatewise", "/opt/gatewise"]
        assert "runtime" in parents(stage)
        assert not of(stage, "USER")
    assert not of("runtime", "RUN")
    assert not re.search(r"\bapt(-get)?\b|\bgcc\b", (ROOT / "Dockerfile").read_text())
    assert of("runtime", "USER") == ["10001:10001"]


def test_every_stage_starts_from_the_same_image_and_the_last_is_the_service():
    (argument,) = (each.rest for each in instructions() if each.name == "ARG" and not each.stage)
    assert re.fullmatch(r"PYTHON=python:3\.11-slim-\w+", argument)
    stages = {each.stage for each in instructions()}
    bases = {each.rest.split()[0] for each in instructions() if each.name == "FROM"}
    assert bases - stages == {"${PYTHON}"}
    assert list(instructions())[-1].stage == "service"
    assert of("service", "STOPSIGNAL") == ["SIGTERM"]


def test_it_names_the_version_that_it_holds():
    assert f"VERSION={PROJECT['version']}" in of("runtime", "ARG")
    (labels,) = of("runtime", "LABEL")
    assert 'org.opencontainers.image.version="${VERSION}"' in labels


def test_a_linter_of_dockerfiles_has_nothing_to_say(hadolint):
    done = subprocess.run(
        [hadolint, "--no-color", "Dockerfile"],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_command_line_takes_the_images_command():
    (command,) = of("service", "CMD")
    arguments = json.loads(command)
    assert arguments[:2] == ["gatewise", "serve"]
    assert of("service", "ENV") == ["GATEWISE_MODEL=/model"]
    # A folder that is not there: 1 is its refusal, 2 would be wrong usage.
    program = [sys.executable, "-m", "gatewise", *arguments[1:]]
    absent = {**os.environ, "GATEWISE_MODEL": "no/such/model"}
    ended = subprocess.run(program, check=False, capture_output=True, text=True, env=absent)
    assert ended.returncode == 1
    assert "no/such/model" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_health_is_checked_at_the_exposed_port_and_alike_in_both_files():
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
    # Port 9 is nobody's on the loopback.
    ended = health_check(sys.executable, 9)
    assert ended.returncode == 1
    assert "Connection refused" in ended.stderr


def health_check(python, port):
    (check,) = of("service", "HEALTHCHECK")
    arguments = json.loads(check.partition("CMD ")[2])
    assert arguments[:2] == ["python", "-c"]
    code = arguments[2].replace(":8000", f":{port}")
    return subprocess.run([python, "-c", code], check=False, capture_output=True, text=True)


@pytest.fixture(scope="module")
def image(tmp_path_factory, has_index):
    """The folder `/opt/gatewise` of the service's image, by the Dockerfile's own steps."""
    root = tmp_path_factory.mktemp("image")
    subprocess.run([sys.executable, "-m", "venv", root / "base"], check=True)
    path = f"{root / 'base' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("PYTHON")
    } | {"PATH": path}
    for stage in ("build", "requirements", "service-packages", "wheel", "install-service"):
        for _, name, rest in (each for each in instructions() if each.stage == stage):
            moved = re.sub(r"(?<![\w/.])/(source|wheels|opt)\b", rf"{root}/\1", rest)
            if name == "WORKDIR":
                Path(moved).mkdir(exist_ok=True)
            elif name == "COPY" and "--from" not in rest:
                *sources, target = rest.split()
                for source in sources:
                    copy(
                        ROOT / source, root / "source" / target / ("" if target != "./" else source)
                    )
            elif name == "RUN":
                step = subprocess.run(
                    ["sh", "-c", moved],
                    check=False,
                    capture_output=True,
                    text=True,
                    cwd=root / "source",
                    env=environment,
                )
                assert step.returncode == 0, f"{rest}\n{step.stdout}\n{step.stderr}"
            else:
                assert name in {"FROM", "ENV", "COPY"}, name
    return root / "opt" / "gatewise"


def copy(source, target):
    if source.is_dir():
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, target, ignore=ignored, dirs_exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def test_the_steps_give_what_serves_and_nothing_to_install_with(
    image, multi_label_folder, free_port
):
    assert not list(image.glob("bin/pip*"))
    packages = {path.name for path in image.glob("lib/python*/site-packages/*")}
    assert {"gatewise", "onnxruntime", "fastapi"} <= packages
    assert not {"service", "pip", "tensorflow", "keras", "onnx", "sklearn", "setuptools"} & packages
    port = free_port()
    (command,) = of("service", "CMD")
    moved = {"0.0.0.0": "127.0.0.1"}
    arguments = [moved.get(each, each) for each in json.loads(command)]
    process = subprocess.Popen(
        [image / "bin" / arguments[0], *arguments[1:], "--port", str(port)],
        stderr=subprocess.PIPE,
        text=True,
        cwd=image,
        env={
            "PATH": os.environ["PATH"],
            "HOME": "/nowhere",
            "GATEWISE_MODEL": str(multi_label_folder),
        },
    )
    with process:
        try:
            assert "ready after" in process.stderr.readline()
            assert health_check(str(image / "bin" / "python"), port).returncode == 0
        finally:
            process.terminate()
            # It tells how it stops: a pipe that is closed would be an error.
            process.communicate()
    assert process.returncode == 0
