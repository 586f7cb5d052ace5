"""The unit, by systemd's own checks, and what of it can be tried without being started by it."""

import configparser
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from gatewise.service.serving.settings import Settings

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "deploy" / "systemd" / "gatewise.service"
PAGE = (ROOT / "docs" / "deployment.md").read_text()
EXPOSURE = 15  # of 100, systemd's own measure; half as much as what it calls "OK"

# 65 and 1 are PR_SET_MDWE and PR_MDWE_REFUSE_EXEC_GAIN of prctl(2), which outlive the exec.
RESTRICTED = """
import ctypes, os, sys
os.umask(0o077)
if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0):
    os._exit(77)
serve = ["-m", "gatewise", "serve", sys.argv[1], "--port", "0"]
os.execv(sys.executable, [sys.executable, *serve])
"""


@pytest.fixture
def service() -> dict[str, str]:
    unit = configparser.ConfigParser(strict=False, interpolation=None, delimiters="=")
    unit.optionxform = str  # type: ignore[assignment]
    unit.read(UNIT)
    return dict(unit["Service"])


def test_systemd_takes_it(systemd_analyze, tmp_path) -> None:
    # It looks for the program too, which is installed elsewhere here.
    here = tmp_path / UNIT.name
    here.write_text(UNIT.read_text().replace("/opt/gatewise/bin/gatewise", sys.executable))
    done = subprocess.run(
        [systemd_analyze, "verify", "--man=no", here], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_directive_that_is_misspelt_would_be_found(systemd_analyze, tmp_path) -> None:
    here = tmp_path / UNIT.name
    wrong = UNIT.read_text().replace("/opt/gatewise/bin/gatewise", sys.executable)
    here.write_text(wrong.replace("ProtectHome=", "ProtectHomes="))
    done = subprocess.run(
        [systemd_analyze, "verify", "--man=no", here], check=False, capture_output=True, text=True
    )
    assert "ProtectHomes" in done.stderr


def test_it_can_do_little_harm(systemd_analyze) -> None:
    done = subprocess.run(
        [systemd_analyze, "security", "--offline=yes", f"--threshold={EXPOSURE}", UNIT],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "SYSTEMD_PAGER": ""},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    measured = re.findall(r"Overall exposure level for gatewise.service: (\S+)", done.stdout)
    assert f"its exposure as {measured[0]} of 10" in PAGE


def test_it_starts_and_reloads_the_service(service) -> None:
    from gatewise.cli import app

    program, *arguments = service["ExecStart"].split()
    assert program == "/opt/gatewise/bin/gatewise"
    assert arguments[0] in {
        command.name or command.callback.__name__ for command in app.registered_commands
    }
    assert service["ExecReload"].split() == ["/bin/kill", "-HUP", "$MAINPID"]
    assert service["DynamicUser"] == "yes"


def test_there_is_time_to_stop_in(service) -> None:
    shutdown = Settings.model_fields["shutdown_seconds"].default
    assert int(service["TimeoutStopSec"]) > shutdown


def test_the_service_needs_no_memory_to_write_to_and_run(service, model_of_hand) -> None:
    assert service["MemoryDenyWriteExecute"] == "yes"
    process, url = model_of_hand
    response = httpx.post(f"{url}/predict", json={"inputs": "blue"}, trust_env=False)
    assert response.json()[0][0]["label"] == "blue"
    status = Path(f"/proc/{process.pid}/status").read_text()
    assert re.search(r"^Umask:\s+0077$", status, re.MULTILINE)


@pytest.fixture
def model_of_hand(multi_label_folder, lack):
    """A service that is refused memory to write to and run, with the unit's umask."""
    command = [sys.executable, "-c", RESTRICTED, str(multi_label_folder)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            line = process.stderr.readline()
            if not line and process.wait() == 77:
                lack("a kernel that refuses memory to write to and run, as Linux does from 6.3 on")
            yield process, re.search(r"http://\S+(?=,)", line)[0]
        finally:
            process.terminate()
            process.stderr.read()
