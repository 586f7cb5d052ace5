"""Prometheus's files by Prometheus's own checks; every query asks for what the service has."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
GRAFANA = ROOT / "deploy" / "grafana"
DASHBOARD = json.loads((GRAFANA / "dashboards" / "gatewise.json").read_text())
ALERTS = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())
CONFIG = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
# What Prometheus adds to every series.
OURS = {"job", "instance"}


def panels():
    return (panel for panel in DASHBOARD["panels"] if panel["type"] != "row")


def rules():
    return (rule for group in ALERTS["groups"] for rule in group["rules"])


QUERIES = {
    **{
        f"panel {panel['id']}{target['refId']}": target["expr"]
        for panel in panels()
        for target in panel["targets"]
    },
    **{rule["alert"]: rule["expr"] for rule in rules()},
}


@pytest.fixture
def check(promtool):
    def run(*arguments):
        command = [promtool, *map(str, arguments)]
        return subprocess.run(command, check=False, capture_output=True, text=True, cwd=PROMETHEUS)

    return run


def test_prometheus_takes_its_files(check, tmp_path):
    # The key is where the container has it; promtool looks whether it is there.
    (tmp_path / "metrics_key").touch()
    text = (PROMETHEUS / "prometheus.yml").read_text()
    text = text.replace("/run/secrets/", f"{tmp_path}/")
    file = tmp_path / "prometheus.yml"
    file.write_text(text.replace("- alerts.yml", f"- {PROMETHEUS / 'alerts.yml'}"))
    done = check("check", "config", file)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(list(rules()))} rules found" in done.stdout


def test_the_service_is_asked_with_the_key_of_the_compose_file():
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    (secret,) = compose["services"]["prometheus"]["secrets"]
    (file,) = (
        Path(job["authorization"]["credentials_file"])
        for job in CONFIG["scrape_configs"]
        if "authorization" in job
    )
    assert file == Path("/run/secrets") / secret
    # Without a key it is empty, and no reason not to start.
    default = compose["secrets"][secret]["file"].partition(":-")[2].rstrip("}")
    assert (ROOT / default).read_text() == ""


@pytest.mark.parametrize("name", ["tests.yml", "tests_drift.yml"])
def test_every_alert_fires_when_it_should_and_not_else(check, name):
    done = check("test", "rules", name)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_seen_firing_and_not_firing():
    seen: dict[str, set[bool]] = {}
    for name in ("tests.yml", "tests_drift.yml"):
        for test in yaml.safe_load((PROMETHEUS / name).read_text())["tests"]:
            for asked in test["alert_rule_test"]:
                fires = bool(asked["exp_alerts"])
                seen.setdefault(asked["alertname"], set()).add(fires)
                # One series fires and others beside it do not.
                if fires and len(test["input_series"]) > len(asked["exp_alerts"]) + 1:
                    seen[asked["alertname"]].add(False)
    assert seen == {rule["alert"]: {True, False} for rule in rules()}


def test_every_alert_says_how_urgent_it_is_and_what_it_means():
    for rule in rules():
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert set(rule["annotations"]) == {"summary", "description"}


def test_the_alerts_limits_are_those_of_the_deployment(compose_services, deadline):
    expressions = {rule["alert"]: rule["expr"] for rule in rules()}
    megabytes = compose_services["gatewise"]["mem_limit"].removesuffix("m")
    assert f"{megabytes} * 1024 * 1024" in expressions["GatewiseMemory"]
    assert expressions["GatewiseSlow"].rstrip().endswith(f"> {deadline / 2:g}")


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_asks_for_what_the_service_has(metrics, name):
    query = QUERIES[name]
    series = re.findall(r"\bgatewise_\w+", query)
    known = set().union(*(metrics.get(each, set()) for each in series)) | OURS
    for each, matchers in re.findall(r"\b(gatewise_\w+)(?:\{([^}]*)\})?", query):
        assert each in metrics, f"the service has no {each}"
        asked = set(re.findall(r"(\w+)(?:=|!=|=~|!~)\"", matchers))
        assert asked <= metrics[each] | OURS, f"{each} has no {asked - metrics[each]}"
    if series:
        grouped = {
            label
            for labels in re.findall(r"\b(?:by|without|on) \(([^)]*)\)", query)
            for label in labels.replace(" ", "").split(",")
        }
        assert grouped <= known


def test_every_metric_is_looked_at(metrics):
    asked = set(re.findall(r"\bgatewise_\w+", " ".join(QUERIES.values())))
    stems = {re.sub(r"_(sum|count|bucket)$", "", name) for name in metrics}
    assert {re.sub(r"_(sum|count|bucket)$", "", name) for name in asked} == stems


def test_the_service_has_what_is_asked_of_it(metrics, multi_label_folder):
    command = [sys.executable, "-m", "gatewise", "serve", str(multi_label_folder), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            line = next(line for line in process.stderr or () if "ready after" in line)
            url = re.findall(r"http://\S+(?=,)", line)[0]
            with httpx.Client(base_url=url, trust_env=False) as client:
                client.post("/predict", json={"inputs": ["blue", "a"]}).raise_for_status()
                told = client.get("/metrics").text
        finally:
            process.terminate()
            process.communicate()
    kinds = dict(re.findall(r"^# TYPE (gatewise_\w+) (\w+)$", told, re.MULTILINE))
    kinds = {name: kind for name, kind in kinds.items() if not name.endswith("_created")}
    stems = {re.sub(r"_(sum|count|bucket)$", "", name) for name in metrics}
    assert {re.sub(r"_(sum|count|bucket)$", "", name) for name in kinds} == stems
    for name, labels in re.findall(r"^(gatewise_\w+)(?:\{(.*)\})? ", told, re.MULTILINE):
        if not name.endswith("_created"):
            assert set(re.findall(r'(\w+)="', labels)) == metrics[name], name


def test_the_proxy_has_the_metrics_that_are_queried(proxy_port):
    text = httpx.get(f"http://127.0.0.1:{proxy_port}/metrics", trust_env=False).text
    queried = set(re.findall(r"\bhaproxy_\w+", " ".join(QUERIES.values())))
    assert queried
    assert queried <= set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))


def test_the_targets_are_the_compose_files(compose_services):
    targets = {
        job["job_name"]: (config["names"], config["port"])
        for job in CONFIG["scrape_configs"]
        for config in job.get("dns_sd_configs", [])
    }
    assert targets == {"gatewise": (["gatewise"], 8000), "proxy": (["proxy"], 8405)}
    assert {"gatewise", "proxy"} <= set(compose_services)
    proxy = (ROOT / "deploy" / "proxy" / "haproxy.cfg").read_text()
    assert '"${LISTEN_INSIDE-:8405}"' in proxy


@pytest.fixture
def compose_services():
    services: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    return services


def test_grafana_is_given_prometheus_and_the_dashboard(compose_services):
    provisioning = GRAFANA / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())[
        "datasources"
    ]
    assert source["url"] == "http://prometheus:9090"
    assert source["jsonData"]["timeInterval"] == CONFIG["global"]["scrape_interval"]
    used = {panel["datasource"]["uid"] for panel in panels()}
    assert used == {source["uid"]}
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "gatewise.yml").read_text())[
        "providers"
    ]
    mounted = {each["target"] for each in compose_services["grafana"]["volumes"][:2]}
    assert mounted == {"/etc/grafana/provisioning", provider["options"]["path"]}


def test_the_panels_are_a_grid_without_gaps_or_overlaps():
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
    height = max(y for _, y in taken) + 1
    assert taken == {(x, y) for x in range(24) for y in range(height)}
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))


def test_a_panel_has_a_title_a_unit_and_variables_that_are_there():
    variables = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    for panel in panels():
        assert panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"]
    used = set(re.findall(r"\$(\w+)", " ".join(QUERIES.values())))
    assert used == variables | {"__rate_interval"}
