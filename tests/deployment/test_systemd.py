"""The systemd unit: systemd's own checks, and its command run outside systemd."""

import configparser
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

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
def service():
    unit = configparser.ConfigParser(strict=False, interpolation=None, delimiters="=")
    unit.optionxform = str
    unit.read(UNIT)
    return dict(unit["Service"])


def test_systemd_takes_it_and_would_find_a_misspelt_directive(systemd_analyze, tmp_path):
    # It looks for the program too, which is installed elsewhere here.
    here = tmp_path / UNIT.name
    unit = UNIT.read_text().replace("/opt/gatewise/bin/gatewise", sys.executable)

    def verify():
        command = [systemd_analyze, "verify", "--man=no", here]
        return subprocess.run(command, check=False, capture_output=True, text=True)

    here.write_text(unit)
    done = verify()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    here.write_text(unit.replace("ProtectHome=", "ProtectHomes="))
    assert "ProtectHomes" in verify().stderr


def test_it_can_do_little_harm(systemd_analyze):
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


def test_it_starts_reloads_and_stops_the_service(service, default):
    program, *arguments = service["ExecStart"].split()
    assert (program, arguments[0]) == ("/opt/gatewise/bin/gatewise", "serve")
    assert service["ExecReload"].split() == ["/bin/kill", "-HUP", "$MAINPID"]
    assert service["DynamicUser"] == "yes"
    assert int(service["TimeoutStopSec"]) > default("shutdown_seconds")


def test_the_service_needs_no_memory_to_write_to_and_run(service, model_of_hand):
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
