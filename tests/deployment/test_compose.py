"""No container engine is needed: what is checked is what the files say."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from service.settings import PREFIX, Settings, variable

ROOT = Path(__file__).parents[2]


@pytest.fixture
def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return document


@pytest.fixture
def service(compose: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = compose["services"]["gatewise"]
    return found


def test_every_key_of_the_service_is_one_that_compose_knows(service: dict[str, Any]) -> None:
    # https://github.com/compose-spec/compose-spec/blob/main/05-services.md
    known = {
        *("build", "cap_drop", "environment", "healthcheck", "image", "init", "mem_limit"),
        *("ports", "read_only", "restart", "security_opt", "stop_grace_period", "tmpfs"),
        *("volumes",),
    }
    assert set(service) <= known


def test_every_variable_is_a_setting(service: dict[str, Any]) -> None:
    for name, value in service["environment"].items():
        assert name.removeprefix(PREFIX).lower() in Settings.model_fields
        assert value == f"${{{name}:-}}"


def test_settings_that_the_container_decides_are_not_passed_on(service: dict[str, Any]) -> None:
    decided = {variable(name) for name in ("model", "host", "port")}
    settings = {variable(name) for name in Settings.model_fields}
    assert set(service["environment"]) == settings - decided


def test_the_container_can_write_nothing_and_become_nobody(service: dict[str, Any]) -> None:
    assert service["read_only"] is True
    assert service["tmpfs"] == ["/tmp"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"]
    assert all(volume["read_only"] for volume in service["volumes"])


def test_it_is_published_to_this_machine_unless_asked_otherwise(service: dict[str, Any]) -> None:
    assert service["ports"] == ["${PUBLISH:-127.0.0.1:8000}:8000"]


def test_the_grace_period_covers_the_services_own(service: dict[str, Any]) -> None:
    grace = int(service["stop_grace_period"].removesuffix("s"))
    assert grace > Settings.model_fields["shutdown_seconds"].default
