"""What is installed: one package, whole, which no folder beside the user breaks."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.install

ROOT = Path(__file__).parent.parent
BUILD = (
    "import sys; from setuptools import build_meta\n"
    "print(getattr(build_meta, sys.argv[1])(sys.argv[2]))"
)
TEXT = "Wo ist der Bahnhof?"


def build(kind, source, out):
    """Builds a wheel or an sdist by the hooks that pip calls."""
    out.mkdir(exist_ok=True)
    command = [sys.executable, "-c", BUILD, f"build_{kind}", str(out)]
    ended = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return out / ended.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """The files of the checkout, in a folder where a build may leave what it likes."""
    listed = ["git", "ls-files", "-co", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    folder = tmp_path_factory.mktemp("source")
    for name in names.splitlines():
        if (ROOT / name).is_file() and not name.startswith("tests/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
    return folder


@pytest.fixture(scope="module")
def wheel(source):
    return build("wheel", source, source / "wheels")


def contents(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_wheel_holds_gatewise_and_nothing_else(source, wheel):
    names = {name for name in contents(wheel) if ".dist-info/" not in name}
    assert {name.partition("/")[0] for name in names} == {"gatewise"}
    rooms = ("gatewise", "vocab", "service", "training")
    files = [path for room in rooms for path in (source / room).rglob("*") if path.is_file()]
    expected = {path.relative_to(source).as_posix() for path in files if "build" not in path.parts}
    assert {name.removeprefix("gatewise/") for name in names} == {
        name.removeprefix("gatewise/") for name in expected if not name.endswith(".pyc")
    }


def test_the_sdist_builds_the_same_wheel(source, wheel, tmp_path):
    sdist = build("sdist", source, tmp_path)
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    again = build("wheel", tmp_path / sdist.name.removesuffix(".tar.gz"), tmp_path / "wheels")
    assert contents(again) == contents(wheel)


@pytest.fixture
def crowded(wheel, tmp_path, monkeypatch):
    """A folder of a user's own that has every name of ours, and the wheel installed elsewhere."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    folder = tmp_path / "notebooks"
    folder.mkdir()
    (folder / "service.py").write_text("raise RuntimeError('not ours')\n")
    for name in ("training", "vocab", "tests"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("raise RuntimeError('not ours')\n")
    return folder


CONSOLE_SCRIPT = "import sys; from gatewise.cli import main; sys.exit(main())"


@pytest.mark.parametrize(
    "start", [["-m", "gatewise"], ["-c", CONSOLE_SCRIPT]], ids=["-m", "script"]
)
def test_the_command_works_beside_folders_of_the_same_names(crowded, model_folder, start):
    command = [sys.executable, *start, "predict", str(model_folder), TEXT]
    ended = subprocess.run(command, cwd=crowded, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout[:3]) == (0, "de "), ended.stderr


def test_a_notebook_works_beside_folders_of_the_same_names(crowded, model_folder):
    from jupyter_client.manager import start_new_kernel

    cell = (
        "import gatewise\n"
        f"print(gatewise.__file__, *gatewise.load({str(model_folder)!r}).predict([{TEXT!r}]))"
    )
    manager, client = start_new_kernel(kernel_name="python3", cwd=str(crowded))
    try:
        printed = []
        reply = client.execute_interactive(
            cell, timeout=120, output_hook=lambda message: printed.append(message["content"])
        )
        assert reply["content"]["status"] == "ok", reply["content"]
        texts = "".join(content.get("text", "") for content in printed)
        assert texts == f"{crowded.parent / 'site' / 'gatewise' / '__init__.py'} de\n"
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
