"""The compose file as Docker Compose resolves it, which needs no engine."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from gatewise.service.serving.settings import PREFIX, Settings, variable

ROOT = Path(__file__).parents[2]
TLS = ("-f", "docker-compose.yml", "-f", "deploy/compose.tls.yml")
PROXY = (ROOT / "deploy" / "proxy" / "haproxy.cfg").read_text()


@pytest.fixture(scope="module")
def run(docker_compose):
    """Runs Compose with no other variables."""

    def run_compose(*arguments, **variables):
        return subprocess.run(
            [docker_compose, *arguments],
            env={"PATH": os.environ["PATH"], **variables},
            check=False,
            capture_output=True,
            cwd=ROOT,
            text=True,
        )

    return run_compose


@pytest.fixture(scope="module")
def config(run):
    """The whole project as Compose understands it; refuses what it warns of."""

    def read(*files, **variables):
        command = [*files, "--profile", "*", "config", "--format", "json"]
        done = run(*command, **variables)
        assert (done.returncode, done.stderr) == (0, "")
        return json.loads(done.stdout)

    return read


@pytest.fixture(scope="module")
def project(config):
    return config()


@pytest.fixture(scope="module")
def services(project):
    return project["services"]


def test_monitoring_is_there_on_request_alone(run, services):
    assert set(services) == {"gatewise", "proxy", "prometheus", "grafana"}
    assert set(run("config", "--services").stdout.split()) == {"gatewise", "proxy"}


def test_the_service_is_replicated_and_the_proxy_has_room_for_it(config, services):
    for service, number in (
        (services["gatewise"], 2),
        (config(REPLICAS="5")["services"]["gatewise"], 5),
    ):
        assert service["deploy"]["replicas"] == number
        # Neither of these could be had twice on one machine.
        assert not {"ports", "container_name"} & set(service)
    assert 'server-template replica 16 "${REPLICAS_AT-gatewise:8000}"' in PROXY


def test_the_settings_are_passed_on(config, services):
    # TLS ends at the proxy; where the model and the keys are is the container's business.
    decided = {"model", "host", "port", "api_keys_file", "tls_certificate", "tls_key"}
    given = {variable(name): f"value of {name}" for name in Settings.model_fields}
    given["GATEWISE_MAX_BODY_BYTES"] = "17"
    changed = config(**given)["services"]
    passed = changed["gatewise"]["environment"]
    assert passed.pop("GATEWISE_API_KEYS_FILE") == ""
    assert passed.pop("GATEWISE_MODEL") == "/model"
    decided = {variable(name) for name in decided}
    assert passed == {name: value for name, value in given.items() if name not in decided}
    # Empty is unset: without variables the service's own defaults hold.
    environment = {**services["gatewise"]["environment"]}
    del environment["GATEWISE_MODEL"]
    assert set(environment.values()) == {""}
    assert all(name.startswith(PREFIX) for name in environment)
    # The proxy bounds bodies as the service does.
    default = Settings.model_fields["max_body_bytes"].default
    for found, limit in ((services, str(default)), (changed, "17")):
        assert found["proxy"]["environment"]["GATEWISE_MAX_BODY_BYTES"] == limit


def test_the_model_is_mounted_as_it_is(config, services, tmp_path):
    (default,) = services["gatewise"]["volumes"]
    assert default["source"] == str(ROOT / "model")
    assert services["gatewise"]["environment"]["GATEWISE_MODEL"] == default["target"]
    moved = config(MODEL=str(tmp_path), MODEL_PATH="/model/current")["services"]["gatewise"]
    (given,) = moved["volumes"]
    assert (given["source"], given["target"]) == (str(tmp_path), "/model")
    assert moved["environment"]["GATEWISE_MODEL"] == "/model/current"


def test_folders_of_this_machine_are_only_read_and_never_made(services):
    text = (ROOT / "docker-compose.yml").read_text()
    assert text.count("type: bind") == text.count("create_host_path: false") == 5
    volumes = [volume for service in services.values() for volume in service["volumes"]]
    bound = [volume for volume in volumes if volume["type"] == "bind"]
    assert {volume["type"] for volume in volumes} <= {"bind", "volume"}
    assert all(volume["read_only"] for volume in bound)
    sources = {Path(volume["source"]) for volume in bound} - {ROOT / "model"}
    assert not [source for source in sources if not source.exists()]


@pytest.mark.parametrize("name", ["gatewise", "proxy", "prometheus", "grafana"])
def test_a_container_can_write_nothing_become_nobody_and_is_bounded(services, name):
    container = services[name]
    assert container["read_only"] is True
    assert container["cap_drop"] == ["ALL"]
    assert "cap_add" not in container
    assert container["security_opt"] == ["no-new-privileges:true"]
    assert int(container["user"].partition(":")[0]) > 0
    assert not container.get("privileged")
    assert all("noexec,nosuid,nodev" in mount for mount in container.get("tmpfs", []))
    assert int(container["mem_limit"]) == int(container["memswap_limit"]) > 0
    assert container["pids_limit"] > 0
    options = container["logging"]["options"]
    assert re.fullmatch(r"\d+m", options["max-size"])
    assert int(options["max-file"]) > 1
    assert container["restart"] == "unless-stopped"
    check = container["healthcheck"]
    assert check["test"][0] == "CMD"
    assert {"interval", "timeout", "retries", "start_period"} <= set(check)
    # Its image is of a certain version.
    if name != "gatewise":
        assert re.search(r":v?\d+\.\d+\.\d+(-\w+)?$", container["image"])


def test_the_proxy_is_of_the_version_that_is_tested(haproxy, services):
    said = subprocess.run([haproxy, "-v"], check=True, capture_output=True, text=True).stdout
    version = re.findall(r"HAProxy version (\d+\.\d+\.\d+)", said)
    assert services["proxy"]["image"] == f"haproxy:{version[0]}-alpine"


def test_it_is_published_to_this_machine_unless_asked_otherwise(config, services):
    published = {name: each["ports"] for name, each in services.items() if "ports" in each}
    assert set(published) == {"proxy", "grafana"}
    for ports in published.values():
        assert [port["host_ip"] for port in ports] == ["127.0.0.1"]
    given = config(PUBLISH="80", GRAFANA_PUBLISH="127.0.0.1:9000")["services"]
    (port,) = given["proxy"]["ports"]
    assert (port.get("host_ip"), port["published"], port["target"]) == (None, "80", 8000)
    (port,) = given["grafana"]["ports"]
    assert (port["published"], port["target"]) == ("9000", 3000)


def test_the_replicas_have_no_way_out(project):
    assert project["networks"]["inside"]["internal"] is True
    networks = {name: set(each["networks"]) for name, each in project["services"].items()}
    assert networks["gatewise"] == networks["prometheus"] == {"inside"}
    assert networks["proxy"] == networks["grafana"] == {"inside", "outside"}


def test_keys_are_a_secret_that_need_not_be(config, project):
    assert Path(project["secrets"]["api_keys"]["file"]).read_text() == ""
    given = config(API_KEYS_FILE="/etc/keys")
    assert given["secrets"]["api_keys"]["file"] == "/etc/keys"
    service = given["services"]["gatewise"]
    (secret,) = service["secrets"]
    assert service["environment"]["GATEWISE_API_KEYS_FILE"] == secret["target"]


def test_grafana_has_no_password_that_anyone_knows(project):
    grafana = project["services"]["grafana"]
    (secret,) = grafana["secrets"]
    assert grafana["environment"]["GF_SECURITY_ADMIN_PASSWORD__FILE"] == secret["target"]
    assert not [name for name in grafana["environment"] if name.endswith("ADMIN_PASSWORD")]
    file = Path(project["secrets"]["grafana_password"]["file"])
    assert not file.exists(), "the password is no part of the project"
    ignored = subprocess.run(["git", "check-ignore", "-q", file], check=False, cwd=ROOT)
    assert ignored.returncode == 0


def test_the_deadline_of_the_proxy_and_the_grace_periods_cover_those_of_the_service(
    services, default
):
    grace = {
        name: int(services[name]["stop_grace_period"].removesuffix("s"))
        for name in ("gatewise", "proxy")
    }
    assert grace["gatewise"] > default("shutdown_seconds")
    (hard,) = re.findall(r"hard-stop-after (\d+)s", PROXY)
    assert grace["proxy"] > int(hard)
    (patience,) = re.findall(r"timeout server (\d+)s", PROXY)
    assert int(patience) > 2 * default("deadline_seconds")


def test_tls_is_a_second_file(config, run):
    refused = run(*TLS, "config", "--quiet")
    assert refused.returncode != 0
    assert "the file with the certificate chain and the key in PEM" in refused.stderr
    project = config(*TLS, CERTIFICATE_FILE="/etc/pem", PUBLISH_TLS="443")
    proxy = project["services"]["proxy"]
    assert [port["target"] for port in proxy["ports"]] == [8000, 8443]
    assert project["secrets"]["certificate"]["file"] == "/etc/pem"
    (secret,) = proxy["secrets"]
    assert proxy["environment"]["CERTIFICATE"] == secret["target"]
