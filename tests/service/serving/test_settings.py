import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from gatewise.service.serving.settings import Settings, SettingsError, variable

SERVICE_PAGE = Path(__file__).parents[3] / "docs" / "service.md"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch):
    for name in Settings.model_fields:
        monkeypatch.delenv(variable(name), raising=False)


def test_settings_come_from_variables_and_an_argument_wins(monkeypatch):
    monkeypatch.setenv("GATEWISE_PORT", "9000")
    monkeypatch.setenv("GATEWISE_MODEL", "a/model")
    monkeypatch.setenv("GATEWISE_ACCESS_LOG", "true")
    settings = Settings()
    assert (settings.port, settings.model, settings.access_log) == (9000, ("a/model",), True)
    assert Settings(port=9001).port == 9001
    monkeypatch.setenv("GATEWISE_PORT", "")  # unset
    assert Settings().port == 8000
    with pytest.raises((ValidationError, SettingsError)):
        settings.port = 1


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("PORT", "http", "a valid integer"),
        ("PORT", "70000", "65535"),
        ("MAX_TEXTS", "1.5", "integer"),
        ("LOG_LEVEL", "loud", "'debug', 'info', 'warning' or 'error'"),
        ("ACCESS_LOG", "perhaps", "boolean"),
        ("CORS_ORIGINS", "app.example", "origins as"),
        ("CORS_ORIGINS", "https://app.example/", "origins as"),
        ("CORS_ORIGINS", "https://a.example https://b.example", "origins as"),
        # No browser sends any of these.
        ("CORS_ORIGINS", "https://*.example", "origins as"),
        ("CORS_ORIGINS", "https://App.example", "origins as"),
        ("CORS_ORIGINS", "https://app.example:443", "origins as"),
        ("CORS_ORIGINS", "http://app.example:080", "origins as"),
        ("CORS_ORIGINS", "http://app.example:70000", "origins as"),
        ("CORS_ORIGINS", "https://bücher.example", "origins as"),
        ("CORS_ORIGINS", "null", "origins as"),
        ("ROOT_PATH", "/classify/", "a path such"),
        ("ROOT_PATH", "classify", "a path such"),
    ],
)
def test_an_invalid_variable_is_reported_in_one_line(monkeypatch, name, value, expected):
    monkeypatch.setenv(f"GATEWISE_{name}", value)
    message = f"GATEWISE_{name} is '{re.escape(value)}': expected .*({expected})"
    with pytest.raises(SettingsError, match=message) as refused:
        Settings()
    assert "\n" not in str(refused.value)
    # A traceback does not show pydantic's own report.
    assert refused.value.__suppress_context__


def test_every_invalid_or_unknown_setting_is_named():
    with pytest.raises(SettingsError, match=r"GATEWISE_PORT.*GATEWISE_THREADS"):
        Settings(port=-1, threads=0)
    with pytest.raises(SettingsError, match="'prot' is not a setting: expected one of model, host"):
        Settings(prot=8000)


def test_an_unknown_variable_is_refused_with_the_nearest_setting(monkeypatch):
    monkeypatch.setenv("GATEWISE_MAX_TEXT", "4")
    monkeypatch.setenv("gatewise_acces_log", "true")
    # A compose file may be newer than the image, and passes its variables unconditionally.
    monkeypatch.setenv("GATEWISE_OF_TOMORROW", "")
    with pytest.raises(SettingsError) as refused:
        Settings()
    assert "TOMORROW" not in str(refused.value)
    assert "GATEWISE_MAX_TEXT is not a setting: the nearest is GATEWISE_MAX_TEXTS" in str(
        refused.value
    )
    assert "gatewise_acces_log is not a setting: the nearest is GATEWISE_ACCESS_LOG" in str(
        refused.value
    )


def test_the_variables_that_kubernetes_sets_for_a_service_are_no_settings(monkeypatch):
    for name, value in {
        "GATEWISE_CANARY_SERVICE_HOST": "10.0.0.1",
        "GATEWISE_CANARY_SERVICE_PORT_HTTP": "80",
        "GATEWISE_CANARY_PORT": "tcp://10.0.0.1:80",
        "GATEWISE_CANARY_PORT_80_TCP_ADDR": "10.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    assert Settings().port == 8000


def test_origins_are_listed_with_commas(monkeypatch):
    assert Settings().origins() == ()
    monkeypatch.setenv("GATEWISE_CORS_ORIGINS", "https://app.example, http://localhost:3000,")
    assert Settings().origins() == ("https://app.example", "http://localhost:3000")
    listed = "http://[::1]:8080,chrome-extension://abcdefg,https://xn--bcher-kva.example"
    assert Settings(cors_origins=listed).origins() == tuple(listed.split(","))
    assert Settings(cors_origins="*").origins() == ("*",)


def test_a_model_has_the_name_of_its_folder_unless_named(monkeypatch):
    def named(settings):
        return [(one.name, str(one.path)) for one in settings.sources()]

    assert named(Settings(model=Path("m/spam"))) == [("spam", "m/spam")]
    assert named(Settings(model=("a", "b=c"))) == [("a", "a"), ("b", "c")]
    monkeypatch.setenv("GATEWISE_MODEL", "spam=m/1:topics=m/2")
    assert named(Settings()) == [("spam", "m/1"), ("topics", "m/2")]


def test_one_cpu_is_left_to_http(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(4))
    assert Settings().capacity().threads == 3
    assert Settings(sessions=7).capacity().threads == 7
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(1))
    assert Settings().capacity().threads == 1


def test_every_setting_is_documented_with_its_default():
    documented = {
        line for line in SERVICE_PAGE.read_text().splitlines() if line.startswith("| `GATEWISE_")
    }
    expected = set()
    for name, field in Settings.model_fields.items():
        default = "" if field.default in (None, ()) else f"`{field.default}` "
        expected.add(f"| `{variable(name)}` | {default}| {field.description} |")
    assert documented == expected
