from pathlib import Path

import pytest
from pydantic import ValidationError

from gatewise.service.serving.settings import Settings, SettingsError, variable

SERVICE_PAGE = Path(__file__).parents[3] / "docs" / "service.md"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(variable(name), raising=False)


def test_settings_come_from_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWISE_PORT", "9000")
    monkeypatch.setenv("GATEWISE_MODEL", "a/model")
    monkeypatch.setenv("GATEWISE_ACCESS_LOG", "true")
    settings = Settings()
    assert (settings.port, settings.model, settings.access_log) == (9000, ("a/model",), True)


def test_an_argument_wins_over_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWISE_PORT", "9000")
    assert Settings(port=9001).port == 9001


def test_an_empty_variable_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWISE_PORT", "")
    assert Settings().port == 8000


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("PORT", "http", "a valid integer"),
        ("PORT", "70000", "65535"),
        ("MAX_TEXTS", "1.5", "integer"),
        ("LOG_LEVEL", "loud", "'debug', 'info', 'warning' or 'error'"),
        ("ACCESS_LOG", "perhaps", "boolean"),
    ],
)
def test_an_invalid_variable_is_reported_in_one_line(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
) -> None:
    monkeypatch.setenv(f"GATEWISE_{name}", value)
    with pytest.raises(
        SettingsError, match=f"GATEWISE_{name} is '{value}': .*({expected})"
    ) as refused:
        Settings()
    assert "\n" not in str(refused.value)
    # A traceback does not show pydantic's own report.
    assert refused.value.__suppress_context__


def test_every_invalid_setting_is_named() -> None:
    with pytest.raises(SettingsError, match=r"GATEWISE_PORT.*GATEWISE_THREADS"):
        Settings(port=-1, threads=0)


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(SettingsError, match="'prot' is not a setting: expected one of model, host"):
        Settings(prot=8000)  # type: ignore[call-arg]


def test_origins_are_listed_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().origins() == ()
    monkeypatch.setenv("GATEWISE_CORS_ORIGINS", "https://app.example, http://localhost:3000,")
    assert Settings().origins() == ("https://app.example", "http://localhost:3000")
    assert Settings(cors_origins="*").origins() == ("*",)


@pytest.mark.parametrize(
    "value", ["app.example", "https://app.example/", "https://a.example https://b.example"]
)
def test_an_invalid_origin_is_refused(value: str) -> None:
    with pytest.raises(SettingsError, match=r"GATEWISE_CORS_ORIGINS is .*: expected origins such"):
        Settings(cors_origins=value)


def test_settings_do_not_change() -> None:
    with pytest.raises((ValidationError, SettingsError)):
        Settings().port = 1  # type: ignore[misc]


def test_a_model_has_the_name_of_its_folder_unless_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def named(settings: Settings) -> list[tuple[str, str]]:
        return [(one.name, str(one.path)) for one in settings.sources()]

    assert named(Settings(model=Path("m/spam"))) == [("spam", "m/spam")]  # type: ignore[arg-type]
    assert named(Settings(model=("a", "b=c"))) == [("a", "a"), ("b", "c")]
    monkeypatch.setenv("GATEWISE_MODEL", "spam=m/1:topics=m/2")
    assert named(Settings()) == [("spam", "m/1"), ("topics", "m/2")]


def test_settings_without_a_model() -> None:
    with pytest.raises(SettingsError, match="GATEWISE_MODEL is not set"):
        Settings().sources()


def test_one_cpu_is_left_to_http(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(4))
    assert Settings().capacity().threads == 3
    assert Settings(sessions=7).capacity().threads == 7
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(1))
    assert Settings().capacity().threads == 1


def test_every_setting_is_documented_with_its_default() -> None:
    documented = {
        line for line in SERVICE_PAGE.read_text().splitlines() if line.startswith("| `GATEWISE_")
    }
    expected = set()
    for name, field in Settings.model_fields.items():
        default = "" if field.default in (None, ()) else f"`{field.default}` "
        expected.add(f"| `{variable(name)}` | {default}| {field.description} |")
    assert documented == expected
