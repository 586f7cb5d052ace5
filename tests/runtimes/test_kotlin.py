"""The example programs in Kotlin compile against the signatures of onnxruntime's Java package.

The package itself comes with 50 MB of machine code; `kotlin/ai/onnxruntime` declares what the
programs use of it, as its release 1.29 does, and does nothing.
"""

import shutil
import subprocess
from pathlib import Path

import pytest

from benchmarks.lib.javascript import NODE_MODULES
from gatewise.service.model.model_folder import read_model_folder
from gatewise.training.mobile.snippets import programs

pytestmark = pytest.mark.node

ONNXRUNTIME = Path(__file__).parent / "kotlin"
COMPILER = NODE_MODULES / "kotlin-compiler" / "bin" / "kotlinc"


@pytest.fixture(scope="module")
def compile_kotlin():
    if shutil.which("java") is None:
        pytest.skip("Java, which runs Kotlin's compiler, is not on the path")
    if not COMPILER.is_file():
        pytest.skip(f"{NODE_MODULES} holds no kotlin-compiler: npm ci --prefix tests/runtimes")

    def compile_kotlin(sources, out):
        command = ["bash", COMPILER, "-no-reflect", "-d", out, *sources, ONNXRUNTIME]
        return subprocess.run(command, capture_output=True, encoding="utf-8", check=False)

    return compile_kotlin


def test_every_program_compiles(
    compile_kotlin, model_folder, multi_label_folder, numbers_run, tmp_path
):
    sources = []
    for name, folder, with_text in (
        ("text", model_folder, True),
        ("ids", model_folder, False),
        ("labels", multi_label_folder, False),
        ("numbers", numbers_run[1], False),
    ):
        program = programs(read_model_folder(folder), with_text=with_text)["TextClassifier.kt"]
        source = tmp_path / f"{name}.kt"
        source.write_text(f"package {name}\n\n{program}", encoding="utf-8")
        sources.append(source)
    finished = compile_kotlin(sources, tmp_path / "out")
    assert finished.returncode == 0, finished.stderr
    assert len(list((tmp_path / "out").rglob("TextClassifier.class"))) == len(sources)


def test_what_the_package_lacks_does_not_compile(compile_kotlin, tmp_path):
    source = tmp_path / "wrong.kt"
    program = "fun wrong(session: ai.onnxruntime.OrtSession) = session.classify()\n"
    source.write_text(program, encoding="utf-8")
    finished = compile_kotlin([source], tmp_path / "out")
    assert finished.returncode == 1
    assert "unresolved reference 'classify'" in finished.stderr
