"""What pyproject.toml, the constraints, the Makefile and the README say of packages agrees."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = {
    extra: {required.name: required for required in map(Requirement, of)}
    for extra, of in PROJECT["optional-dependencies"].items()
}
BASE = {required.name: required for required in map(Requirement, PROJECT["dependencies"])}
INSTALLED = BASE | EXTRAS["train-cpu"] | EXTRAS["serve"] | EXTRAS["demo"]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def pinned(name):
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    pairs = (line.split("==") for line in lines if not line.startswith("#"))
    return {canonicalize_name(package): Version(version) for package, version in pairs}


def test_the_lowest_versions_are_those_that_are_allowed():
    versions = pinned("constraints-lowest.txt")
    for name, required in INSTALLED.items():
        (bound,) = (each for each in required.specifier if each.operator in (">=", "=="))
        assert versions[canonicalize_name(name)] == Version(bound.version), name


@pytest.mark.parametrize("name", ["constraints.txt", "constraints-lowest.txt"])
def test_what_is_installed_is_allowed(name):
    versions = pinned(name)
    for required in [*BASE.values(), *(each for of in EXTRAS.values() for each in of.values())]:
        version = versions.get(canonicalize_name(required.name))
        assert version is None or required.specifier.contains(version, prereleases=True), required
    core = re.search(r"^CORE := (.*)$", MAKEFILE, re.MULTILINE)[1].split()
    assert {*map(canonicalize_name, [*BASE, *core])} <= versions.keys()


def test_the_builds_of_tensorflow_are_the_only_difference():
    both = [dict(EXTRAS["train"]), dict(EXTRAS["train-cpu"])]
    tensorflow = [both[0].pop("tensorflow"), both[1].pop("tensorflow-cpu")]
    assert both[0] == both[1]
    assert tensorflow[0].specifier == tensorflow[1].specifier


def test_every_extra_is_in_the_readme():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    named = ",".join(re.findall(r"\.\[([\w,-]+)\]", readme)).split(",")
    assert set(named) == set(EXTRAS)


def test_the_demo_installs_what_it_needs_and_no_more():
    (extras,) = re.findall(r'^\$\(DEMO\):.*\n.*"\.\[(.*)\]"$', MAKEFILE, re.MULTILINE)
    assert extras == "$(TENSORFLOW),demo"
