import pytest

from gatewise.command_errors import exit_code_of
from gatewise.vocab.errors import CorpusError


def test_a_users_mistake_is_one_line(capsys):
    assert exit_code_of(CorpusError("bad\nname: no such file")) == 1
    assert capsys.readouterr().err == "gatewise: error: bad name: no such file\n"


@pytest.mark.parametrize(
    ("message", "printed"),
    [
        ("a.csv: no column 'text'. Name the text column", "%s (--text-column)"),
        ("text_column: expected a name", "--text-column: expected a name"),
    ],
)
def test_an_error_names_the_flag_of_its_option(capsys, message, printed):
    assert exit_code_of(CorpusError(message, option="text_column")) == 1
    assert capsys.readouterr().err == f"gatewise: error: {printed.replace('%s', message)}\n"


@pytest.mark.parametrize(
    ("package", "extra"),
    [
        ("tensorflow", "train"),
        ("sklearn.metrics", "train"),
        ("optuna", "train"),
        ("tensorboard.compat", "tracking"),
        ("mlflow", "tracking"),
        ("fastapi", "serve"),
        ("ray", "cluster"),
    ],
)
def test_a_missing_package_names_its_extra(capsys, package, extra):
    assert exit_code_of(ModuleNotFoundError("x", name=package)) == 1
    assert f"pip install 'gatewise[{extra}]'" in capsys.readouterr().err


def test_a_file_of_the_system_is_named(capsys):
    assert exit_code_of(PermissionError(13, "Permission denied", "/some/file")) == 1
    assert capsys.readouterr().err == "gatewise: error: /some/file: Permission denied\n"


@pytest.mark.parametrize(
    "defect", [ValueError("x"), ModuleNotFoundError("x", name="gatewise.vocab.none")]
)
def test_a_defect_keeps_its_traceback(capsys, defect):
    assert exit_code_of(defect) is None
    assert capsys.readouterr().err == ""
