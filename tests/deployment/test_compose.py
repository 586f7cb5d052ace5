"""What Docker Compose itself makes of the compose file. It needs no engine for that."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from gatewise.service.serving.settings import PREFIX, Settings, variable

ROOT = Path(__file__).parents[2]
TLS = ("-f", "docker-compose.yml", "-f", "deploy/compose.tls.yml")


@pytest.fixture(scope="module")
def run(docker_compose):
    """Runs Compose with no variables but those given."""

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
def services(config):
    return config()["services"]


@pytest.fixture(scope="module")
def service(services):
    return services["gatewise"]


@pytest.fixture(params=["gatewise", "proxy", "prometheus", "grafana"])
def each(request, services):
    return services[request.param]


def test_monitoring_is_there_on_request_alone(run, services):
    assert set(services) == {"gatewise", "proxy", "prometheus", "grafana"}
    assert set(run("config", "--services").stdout.split()) == {"gatewise", "proxy"}


@pytest.mark.parametrize(("given", "number"), [({}, 2), ({"REPLICAS": "5"}, 5)])
def test_the_service_is_replicated(config, given, number):
    service = config(**given)["services"]["gatewise"]
    assert service["deploy"]["replicas"] == number
    # Neither of these could be had twice on one machine.
    assert not {"ports", "container_name"} & set(service)


def test_the_settings_are_passed_on(config, settings, service):
    # TLS ends at the proxy; where the model and the keys are is the container's business.
    decided = {variable(name) for name in ("model", "host", "port", "api_keys_file")}
    decided |= {variable(name) for name in ("tls_certificate", "tls_key")}
    given = {variable(name): f"value of {name}" for name in settings} | {
        "GATEWISE_MAX_BODY_BYTES": "17"
    }
    passed = config(**given)["services"]["gatewise"]["environment"]
    assert passed.pop("GATEWISE_API_KEYS_FILE") == ""
    assert passed == {name: value for name, value in given.items() if name not in decided}
    # Empty is unset: without variables the service's own defaults hold.
    assert set(service["environment"].values()) == {""}
    assert all(name.startswith(PREFIX) for name in service["environment"])


def test_the_proxy_bounds_bodies_as_the_service_does(config, services):
    default = Settings.model_fields["max_body_bytes"].default
    assert services["proxy"]["environment"]["GATEWISE_MAX_BODY_BYTES"] == str(default)
    given = config(GATEWISE_MAX_BODY_BYTES="17")["services"]
    for name in ("proxy", "gatewise"):
        assert given[name]["environment"]["GATEWISE_MAX_BODY_BYTES"] == "17"


def test_the_model_is_mounted_as_it_is(config, service, tmp_path):
    (default,) = service["volumes"]
    assert default["source"] == str(ROOT / "model")
    (given,) = config(MODEL=str(tmp_path))["services"]["gatewise"]["volumes"]
    assert (given["source"], given["target"]) == (str(tmp_path), "/model")
    below = config(MODEL_PATH="/model/current")["services"]["gatewise"]["command"]
    assert service["command"][:3] == ["gatewise", "serve", "/model"]
    assert below[:3] == ["gatewise", "serve", "/model/current"]


def test_folders_of_this_machine_are_there_only_read_and_never_made(each):
    text = (ROOT / "docker-compose.yml").read_text()
    assert text.count("type: bind") == text.count("create_host_path: false") == 5
    for volume in each["volumes"]:
        if volume["type"] == "bind":
            assert volume["read_only"]
            source = Path(volume["source"])
            assert source == ROOT / "model" or source.exists(), source
        else:
            assert volume["type"] == "volume"


def test_a_container_can_write_nothing_and_become_nobody(each):
    assert each["read_only"] is True
    assert each["cap_drop"] == ["ALL"]
    assert "cap_add" not in each
    assert each["security_opt"] == ["no-new-privileges:true"]
    assert int(each["user"].partition(":")[0]) > 0
    assert not each.get("privileged")
    assert all("noexec,nosuid,nodev" in mount for mount in each.get("tmpfs", []))


def test_a_container_is_limited_and_has_a_health_check(each):
    assert int(each["mem_limit"]) == int(each["memswap_limit"]) > 0
    assert each["pids_limit"] > 0
    options = each["logging"]["options"]
    assert re.fullmatch(r"\d+m", options["max-size"])
    assert int(options["max-file"]) > 1
    assert each["restart"] == "unless-stopped"
    check = each["healthcheck"]
    assert check["test"][0] == "CMD"
    assert {"interval", "timeout", "retries", "start_period"} <= set(check)


def test_every_image_has_a_version_the_proxy_the_tested_one(haproxy, services):
    for name, each in services.items():
        if name != "gatewise":
            assert re.search(r":v?\d+\.\d+\.\d+(-\w+)?$", each["image"]), each["image"]
    printed = subprocess.run([haproxy, "-v"], check=True, capture_output=True, text=True).stdout
    version = re.findall(r"HAProxy version (\d+\.\d+\.\d+)", printed)
    assert services["proxy"]["image"] == f"haproxy:{version[0]}-alpine"


def test_it_is_published_to_this_machine_unless_asked_otherwise(config, services):
    published = {name: each["ports"] for name, each in services.items() if "ports" in each}
    assert set(published) == {"proxy", "grafana"}
    for ports in published.values():
        assert [port["host_ip"] for port in ports] == ["127.0.0.1"]
    (port,) = config(PUBLISH="80")["services"]["proxy"]["ports"]
    assert (port.get("host_ip"), port["published"], port["target"]) == (None, "80", 8000)
    (port,) = config(GRAFANA_PUBLISH="127.0.0.1:9000")["services"]["grafana"]["ports"]
    assert (port["published"], port["target"]) == ("9000", 3000)


def test_the_replicas_have_no_way_out(config):
    project = config()
    assert project["networks"]["inside"]["internal"] is True
    networks = {name: set(each["networks"]) for name, each in project["services"].items()}
    assert networks["gatewise"] == networks["prometheus"] == {"inside"}
    assert networks["proxy"] == networks["grafana"] == {"inside", "outside"}


def test_keys_are_a_secret_that_need_not_be(config):
    project = config()
    assert Path(project["secrets"]["api_keys"]["file"]).read_text() == ""
    given = config(API_KEYS_FILE="/etc/keys")
    assert given["secrets"]["api_keys"]["file"] == "/etc/keys"
    service = given["services"]["gatewise"]
    (secret,) = service["secrets"]
    assert service["environment"]["GATEWISE_API_KEYS_FILE"] == secret["target"]


def test_grafana_has_no_password_that_anyone_knows(config):
    project = config()
    grafana = project["services"]["grafana"]
    (secret,) = grafana["secrets"]
    assert grafana["environment"]["GF_SECURITY_ADMIN_PASSWORD__FILE"] == secret["target"]
    assert not [name for name in grafana["environment"] if name.endswith("ADMIN_PASSWORD")]
    file = Path(project["secrets"]["grafana_password"]["file"])
    assert not file.exists(), "the password is no part of the project"
    ignored = subprocess.run(["git", "check-ignore", "-q", file], check=False, cwd=ROOT)
    assert ignored.returncode == 0


def test_the_proxy_has_room_for_the_replicas_and_waits_longer(service, services, deadline):
    proxy = (ROOT / "deploy" / "proxy" / "haproxy.cfg").read_text()
    assert 'server-template replica 16 "${REPLICAS_AT-gatewise:8000}"' in proxy
    shutdown = Settings.model_fields["shutdown_seconds"].default
    assert int(service["stop_grace_period"].removesuffix("s")) > shutdown
    (hard,) = re.findall(r"hard-stop-after (\d+)s", proxy)
    assert int(services["proxy"]["stop_grace_period"].removesuffix("s")) > int(hard)
    # It is the service that answers that a request took too long.
    (patience,) = re.findall(r"timeout server (\d+)s", proxy)
    assert int(patience) > 2 * deadline


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
