"""docs/architecture.md lists every module, and names none that is not there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_module_is_listed(generated, generate):
    assert generated("architecture", "modules") == {f"modules {room}" for room in generate.ROOMS}


def test_the_rooms_are_the_packages(generate):
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages == {*generate.ROOMS, "benchmarks"}


def test_every_module_says_what_it_owns(generate):
    for table in (text for name, text in generate.parts().items() if name.startswith("modules")):
        for row in table.splitlines()[2:]:
            assert re.fullmatch(r"\| `\S+` \| .+\. \|", row), row
