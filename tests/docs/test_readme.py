"""README.md: what it shows is what happens."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

import gatewise

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MODEL = "runs/languages/model"


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_the_python_shown_runs_and_says_what_it_says(model_folder):
    (code,) = blocks("python")
    *_, last = code.replace(MODEL, str(model_folder)).strip().splitlines()
    expression, _, said = last.partition("  # ")
    script = "\n".join(code.replace(MODEL, str(model_folder)).strip().splitlines()[:-1])
    script += f"\nprint({expression})\n"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    # The model of the tests is a smaller one, so only the shape of its answer is the same.
    (answer,), (shown,) = (ast.literal_eval(text) for text in (done.stdout.decode(), said))
    assert answer in gatewise.load(model_folder).classes_
    assert shown == "de"


def test_the_request_shown_is_answered_in_the_shape_shown(model_folder):
    (shell,) = (block for block in blocks("console") if "curl" in block)
    body = json.loads(re.search(r"-d '(.*)'$", shell, re.MULTILINE)[1])
    shown = json.loads(shell.strip().splitlines()[-1])
    command = [sys.executable, "-m", "gatewise", "serve", str(model_folder), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            line = next(line for line in server.stderr if "ready after" in line)
            url = re.search(r"http://\S+(?=,)", line)[0]
            answer = httpx.post(f"{url}/predict", json=body).json()
        finally:
            server.terminate()
            server.stderr.read()
    assert server.returncode == 0
    assert [set(each) for each in answer[0]] == [set(each) for each in shown[0]]


@pytest.mark.parametrize(
    "target", ["demo", "test", "test-all", "test-lowest", "check", "benchmark"]
)
def test_the_make_targets_named_are_there(target):
    assert f"make {target}" in README
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{target}: ", makefile, re.MULTILINE)
