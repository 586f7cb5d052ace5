"""Every link, anchor and path on the pages of the documents exists."""

import re
from pathlib import Path

import pytest

from gatewise.training.config.config import Config

ROOT = Path(__file__).parents[2]
PAGES = [
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "README.md",
    *sorted((ROOT / "benchmarks").rglob("README.md")),
    *sorted((ROOT / "examples").glob("*/README.md")),
]
SECTIONS = {name: field.annotation for name, field in Config.model_fields.items()}


@pytest.fixture(params=PAGES, ids=lambda file: file.relative_to(ROOT).as_posix())
def path(request):
    return request.param


@pytest.fixture
def text(path):
    return path.read_text(encoding="utf-8")


def test_its_links_lead_somewhere(path, text):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        if "://" not in target:
            assert (path.parent / target).exists(), target


def test_the_modules_it_names_are_there(text):
    for name in re.findall(r"`((?:vocab|service|training|gatewise|tests|docs)/[\w/]+\.\w+)`", text):
        assert (ROOT / name).is_file(), name


def test_the_functions_it_names_are_there(text):
    for name, path in re.findall(r"`(\w+)` in `([\w/]+\.py)`", text):
        code = (ROOT / path).read_text(encoding="utf-8")
        assert re.search(rf"^(def|class) {name}\b", code, re.MULTILINE), f"{name} in {path}"


def test_the_settings_it_names_are_there(text):
    for section, name in re.findall(rf"`({'|'.join(SECTIONS)})\.(\w+)[^`]*`", text):
        module = ROOT / section / name  # of `training`
        if not (module.is_dir() or module.with_suffix(".py").is_file()):
            assert name in SECTIONS[section].model_fields, f"{section}.{name}"


def test_a_generated_part_is_filled_and_closed(text):
    assert text.count("<!-- begin: ") == text.count("<!-- end -->")
    assert not re.search(r"<!-- begin: .* -->\n<!-- end -->", text)
