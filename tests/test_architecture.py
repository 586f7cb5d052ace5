"""The architecture: who imports whom, and what each way in pulls in."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Each room may import itself and the rooms before it.
ROOMS = ["vocab", "service", "training", "gatewise"]
# The same inside `service`: scoring and serving do not know each other.
SERVICE_ROOMS = {
    "model": {"model"},
    "scoring": {"model", "scoring"},
    "serving": {"model", "serving"},
}

HTTP_PACKAGES = {
    *("fastapi", "starlette", "uvicorn"),
    *("pydantic_settings", "prometheus_client", "orjson"),
}
TRAINING_PACKAGES = {
    *("tensorflow", "keras", "sklearn", "onnx", "matplotlib", "jinja2"),
    *("optuna", "mlflow", "sqlalchemy", "tensorboard"),
}

TEACHER_PACKAGES = {"httpx", "torch", "transformers", "safetensors", "sentence_transformers"}


def imported_by(file):
    """The modules of every import of a file, also of those inside its functions."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{file}: imports are absolute here"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def packages_of(file):
    return {name.partition(".")[0] for name in imported_by(file)}


def rooms_of(file):
    """The rooms that a file imports from."""
    names = {name.split(".")[1] for name in imported_by(file) if name.startswith("gatewise.")}
    return {name if name in ROOMS else "gatewise" for name in names}


def modules(room):
    return sorted((ROOT / room).rglob("*.py"))


@pytest.mark.parametrize("room", ROOMS)
def test_imports_go_one_way(room):
    allowed = set(ROOMS[: ROOMS.index(room) + 1])
    for file in modules(room):
        assert rooms_of(file) <= allowed, file


def test_scoring_and_serving_share_the_model_and_nothing_else():
    for room, allowed in SERVICE_ROOMS.items():
        for file in modules(f"service/{room}"):
            names = {name for name in imported_by(file) if name.startswith("gatewise.service.")}
            rooms = {name.split(".")[2] for name in names}
            assert rooms - {"ray_cluster", "threads"} <= allowed, file


@pytest.mark.parametrize("room", ROOMS)
def test_heavy_packages_stay_in_their_room(room):
    for file in modules(room):
        packages = packages_of(file)
        if room != "training":
            # The estimator is a class of scikit-learn's, in a module of its own.
            own = {"sklearn"} if file == ROOT / "gatewise" / "sklearn.py" else set()
            assert not TRAINING_PACKAGES & packages - own, file
        if not file.is_relative_to(ROOT / "service" / "serving"):
            assert not HTTP_PACKAGES & packages, file
        if file.parent != ROOT / "training" / "teacher":
            assert not TEACHER_PACKAGES & packages, file
        if file.parent.name != "ray" and file != ROOT / "service" / "ray_cluster.py":
            assert "ray" not in packages, file


def is_private(name):
    return name.startswith("_") and not name.endswith("__")


def private_names(tree):
    """The private names that a module imports, or takes of something that has them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from (alias.name for alias in node.names)
            yield from (node.module or "").split(".")
        elif isinstance(node, ast.Import):
            yield from (part for alias in node.names for part in alias.name.split("."))
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            yield node.attr


def names_defined(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


@pytest.mark.parametrize("room", ROOMS)
def test_no_private_name_of_a_library_is_used(room):
    trees = {file: ast.parse(file.read_text(encoding="utf-8")) for file in modules(room)}
    own = {name for tree in trees.values() for name in names_defined(tree)}
    own.add("_replace")  # public, of a named tuple
    for file, tree in trees.items():
        found = {name for name in private_names(tree) if is_private(name)}
        assert not found - own, file


def test_only_the_commands_import_what_runs_on_ray():
    for room in ROOMS:
        for file in modules(room):
            if file.parent.name != "ray" and (room, file.parent.name) != ("gatewise", "commands"):
                names = list(imported_by(file))
                assert not [name for name in names if ".ray" in name], file


def packages_after(code, *arguments, exit_code=None):
    """Top-level packages, of those that are installed, that are loaded after running some code."""
    script = (
        "import sys\n"
        "try:\n"
        f"    exec({code!r})\n"
        "except SystemExit as end:\n"
        f"    assert (end.code or None) == {exit_code}, end.code\n"
        "standard = sys.stdlib_module_names | set(sys.builtin_module_names)\n"
        "names = {name.partition('.')[0] for name in sys.modules}\n"
        "print('loaded:', *sorted(names - standard))\n"
    )
    command = [sys.executable, "-c", script, *map(str, arguments)]
    ended = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    names = ended.stdout.rpartition("loaded: ")[2].split()
    return {name for name in names if not name.startswith(("_", "encodings"))}


def packages_of_command(*arguments, exit_code=None):
    code = "sys.argv[0] = 'gatewise'\nfrom gatewise.cli import main\nmain()\n"
    return packages_after(code, *arguments, exit_code=exit_code)


BASE = {
    *("gatewise", "numpy", "onnxruntime", "tokenizers", "typer"),
    # What those pull in by themselves.
    *("annotated_doc", "annotated_types", "pydantic", "pydantic_core", "typing_extensions"),
    *("typing_inspection", "flatbuffers", "google", "packaging", "rich", "markdown_it", "mdurl"),
    *("pygments", "shellingham", "colorama", "click", "coloredlogs", "humanfriendly", "mpmath"),
    *("sympy", "certifi", "google_protobuf", "huggingface_hub", "onnxruntime_pybind11_state"),
}


def test_import_of_the_package_pulls_in_nothing():
    assert packages_after("import gatewise") <= {"gatewise"}


def test_the_estimator_does_not_start_tensorflow():
    loaded = packages_after("from gatewise.sklearn import TextClassifier; TextClassifier()")
    assert "sklearn" in loaded
    assert not loaded & {"tensorflow", "keras", "onnx", "matplotlib", "optuna"}


def test_predict_pulls_in_the_base_install_alone(model_folder):
    text = "Wo ist der Bahnhof?"
    assert packages_of_command("predict", model_folder, text) - BASE == set()
    code = f"import gatewise, sys\ngatewise.load(sys.argv[1]).predict([{text!r}])\n"
    assert packages_after(code, model_folder) - BASE == set()


def test_score_pulls_in_pyarrow_besides(model_folder, languages, tmp_path):
    out = ("--out", tmp_path / "out.csv")
    loaded = packages_of_command("score", model_folder, languages / "test.csv", *out)
    assert loaded - BASE <= {"pyarrow", "cython_runtime", "cloudpickle", "filelock"}


def test_evaluate_does_not_start_tensorflow(model_folder, languages):
    loaded = packages_of_command("evaluate", model_folder, languages / "test.csv", "--json")
    assert "sklearn" in loaded
    assert not loaded & {"tensorflow", "keras", "onnx", "fastapi"}


def test_serve_pulls_in_neither_ray_nor_what_trains(model_folder):
    """It ends where it would listen, on a port that is none, with everything else imported."""
    loaded = packages_of_command("serve", model_folder, "--host", "300.1.1.1", exit_code=1)
    assert {"uvicorn", "fastapi"} <= loaded
    assert not loaded & (TRAINING_PACKAGES | {"ray", "grpc", "pyarrow", "scipy", "pandas"})
