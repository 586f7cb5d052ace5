"""Prometheus's files by Prometheus's own checks; every query asks for what the service has."""

import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import prometheus_client
import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
GRAFANA = ROOT / "deploy" / "grafana"
DASHBOARD = json.loads((GRAFANA / "dashboards" / "gatewise.json").read_text())
ALERTS = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())
CONFIG = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
PROXY = ROOT / "deploy" / "proxy" / "haproxy.cfg"
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
# What Prometheus adds to every series.
OURS = {"job", "instance"}

SHOWN = {
    f"panel {panel['id']}{target['refId']}": target["expr"]
    for panel in PANELS
    for target in panel["targets"]
}
QUERIES = {**SHOWN, **{rule["alert"]: rule["expr"] for rule in RULES}}


def stems(names):
    """The names of metrics, from those of their series."""
    return {re.sub(r"_(sum|count|bucket)$", "", name) for name in names}


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
    assert f"{len(RULES)} rules found" in done.stdout


def test_the_service_is_scraped_with_the_key_of_the_compose_file():
    (secret,) = COMPOSE["services"]["prometheus"]["secrets"]
    (file,) = (
        Path(job["authorization"]["credentials_file"])
        for job in CONFIG["scrape_configs"]
        if "authorization" in job
    )
    assert file == Path("/run/secrets") / secret
    # Without a key it is empty, and no reason not to start.
    default = COMPOSE["secrets"][secret]["file"].partition(":-")[2].rstrip("}")
    assert (ROOT / default).read_text() == ""


def test_every_alert_is_seen_firing_and_not_firing(check):
    seen = {}
    for name in ("tests.yml", "tests_drift.yml"):
        done = check("test", "rules", name)
        assert done.returncode == 0, done.stdout + done.stderr
        for test in yaml.safe_load((PROMETHEUS / name).read_text())["tests"]:
            for rule in test["alert_rule_test"]:
                fires = bool(rule["exp_alerts"])
                seen.setdefault(rule["alertname"], set()).add(fires)
                # One series fires and others beside it do not.
                if fires and len(test["input_series"]) > len(rule["exp_alerts"]) + 1:
                    seen[rule["alertname"]].add(False)
    assert seen == {rule["alert"]: {True, False} for rule in RULES}


def test_an_alert_says_how_urgent_it_is_and_its_limits_are_those_of_the_deployment(default):
    for rule in RULES:
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert set(rule["annotations"]) == {"summary", "description"}
    megabytes = COMPOSE["services"]["gatewise"]["mem_limit"].removesuffix("m")
    assert f"{megabytes} * 1024 * 1024" in QUERIES["GatewiseMemory"]
    assert QUERIES["GatewiseSlow"].rstrip().endswith(f"> {default('deadline_seconds') / 2:g}")


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_asks_for_what_the_service_has(metrics, name):
    query = QUERIES[name]
    series = re.findall(r"\bgatewise_\w+", query)
    known = set().union(*(metrics.get(each, set()) for each in series)) | OURS
    for each, matchers in re.findall(r"\b(gatewise_\w+)(?:\{([^}]*)\})?", query):
        assert each in metrics, f"the service has no {each}"
        queried = set(re.findall(r"(\w+)(?:=|!=|=~|!~)\"", matchers))
        assert queried <= metrics[each] | OURS, f"{each} has no {queried - metrics[each]}"
    if series:
        grouped = {
            label
            for labels in re.findall(r"\b(?:by|without|on) \(([^)]*)\)", query)
            for label in labels.replace(" ", "").split(",")
        }
        assert grouped <= known


def test_every_metric_is_looked_at_and_the_service_has_it(metrics, multi_label_folder):
    assert stems(re.findall(r"\bgatewise_\w+", " ".join(QUERIES.values()))) == stems(metrics)
    command = [sys.executable, "-m", "gatewise", "serve", str(multi_label_folder), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            url = re.search(r"http://\S+(?=,)", process.stderr.readline())[0]
            with httpx.Client(base_url=url, trust_env=False) as client:
                client.post("/predict", json={"inputs": ["blue", "a"]}).raise_for_status()
                text = client.get("/metrics").text
        finally:
            process.terminate()
            process.communicate()
    kinds = re.findall(r"^# TYPE (gatewise_\w+)(?<!_created) ", text, re.MULTILINE)
    assert stems(kinds) == stems(metrics)
    for name, labels in re.findall(r"^(gatewise_\w+)(?:\{(.*)\})? ", text, re.MULTILINE):
        if not name.endswith("_created"):
            assert set(re.findall(r'(\w+)="', labels)) == metrics[name], name


def test_the_targets_are_the_compose_files():
    targets = {
        job["job_name"]: (config["names"], config["port"])
        for job in CONFIG["scrape_configs"]
        for config in job.get("dns_sd_configs", [])
    }
    assert targets == {"gatewise": (["gatewise"], 8000), "proxy": (["proxy"], 8405)}
    assert {"gatewise", "proxy"} <= set(COMPOSE["services"])
    assert '"${LISTEN_INSIDE-:8405}"' in PROXY.read_text()


def test_grafana_is_given_prometheus_and_the_dashboard():
    provisioning = GRAFANA / "provisioning"
    sources = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())
    (source,) = sources["datasources"]
    assert source["url"] == "http://prometheus:9090"
    assert source["jsonData"]["timeInterval"] == CONFIG["global"]["scrape_interval"]
    assert {panel["datasource"]["uid"] for panel in PANELS} == {source["uid"]}
    dashboards = yaml.safe_load((provisioning / "dashboards" / "gatewise.yml").read_text())
    (provider,) = dashboards["providers"]
    mounted = {each["target"] for each in COMPOSE["services"]["grafana"]["volumes"][:2]}
    assert mounted == {"/etc/grafana/provisioning", provider["options"]["path"]}


def test_a_panel_has_a_title_a_unit_and_variables_that_are_there():
    for panel in PANELS:
        assert panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"]
    variables = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$(\w+)", " ".join(QUERIES.values())))
    assert used == variables | {"__rate_interval"}


@pytest.fixture(scope="module")
def exporter(metrics):
    """The port of a process with every metric of the service, which is this one."""
    values = {"model": "a", "version": "1", "route": "/predict", "sha256": "0"}
    values["reason"] = "gone"
    registry = prometheus_client.CollectorRegistry()
    prometheus_client.ProcessCollector(registry=registry)
    counted = []
    for name, labels in metrics.items():
        kind = prometheus_client.Gauge
        if name.endswith("_total"):
            kind = prometheus_client.Counter
        elif name.endswith("_count"):
            kind = prometheus_client.Histogram
        elif name.endswith(("_sum", "_bucket")):
            continue  # come with the count
        metric = kind(name.removesuffix("_count"), name, sorted(labels), registry=registry)
        for status in ("200", "500") if "status" in labels else ("",):
            named = {label: {**values, "status": status}.get(label, "loaded") for label in labels}
            counted.append(metric.labels(**named) if labels else metric)
    server, thread = prometheus_client.start_http_server(0, "127.0.0.1", registry)
    over = threading.Event()

    def count():
        while not over.wait(0.2):
            for metric in counted:
                metric.observe(1) if hasattr(metric, "observe") else metric.inc()

    counting = threading.Thread(target=count)
    counting.start()
    yield server.server_port
    over.set()
    counting.join()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def proxy(haproxy, free_port, wait_until, answers):
    """The port at which the proxy tells of itself; it has had an answer to give, a refusal."""
    public, inside = free_port(), free_port()
    places = {"LISTEN": f"127.0.0.1:{public}", "LISTEN_INSIDE": f"127.0.0.1:{inside}"}
    # No name is ever found: port 9 is nobody's.
    environment = {**os.environ, **places, "RESOLVER": "127.0.0.1:9"}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([haproxy, "-db", "-f", PROXY], env=environment, **quiet) as process:
        wait_until(lambda: answers(f"http://127.0.0.1:{inside}/metrics"), "the proxy answered")
        assert httpx.get(f"http://127.0.0.1:{public}/", trust_env=False).status_code == 503
        yield inside
        process.terminate()


@pytest.fixture(scope="module")
def ask(program, tmp_path_factory, exporter, proxy, free_port, wait_until, answers):
    """Gives the series of a query, of a Prometheus that has scraped both for some seconds."""
    folder = tmp_path_factory.mktemp("prometheus")
    jobs = [
        {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
        for job, port in {"gatewise": exporter, "proxy": proxy}.items()
    ]
    often = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config = folder / "prometheus.yml"
    config.write_text(yaml.safe_dump({"global": often, "scrape_configs": jobs}))
    listen = f"127.0.0.1:{free_port()}"
    command = [
        program("prometheus", "prometheus"),
        *(f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"),
        f"--web.listen-address={listen}",
    ]

    def ask(query):
        url = f"http://{listen}/api/v1/query"
        response = httpx.get(url, params={"query": query}, trust_env=False)
        return response.json()["data"]["result"]

    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, **quiet) as process:
        wait_until(lambda: answers(f"http://{listen}/-/ready"), "Prometheus answered")
        # Once it has scraped both a few times: a rate needs two samples.
        often_asked = "count_over_time(up[1m]) >= 5"
        wait_until(lambda: len(ask(often_asked)) == 2, "Prometheus had scraped both")
        yield ask
        process.terminate()


def test_every_panel_shows_something(ask):
    for name, expression in SHOWN.items():
        query = re.sub(r"\$\w+", ".*", expression.replace("$__rate_interval", "20s"))
        if "ALERTS" not in query:
            result = ask(query)
            assert result, name
            assert not [each for each in result if each["value"][1] == "NaN"], name


def test_the_queried_metrics_of_the_proxy_exist(proxy):
    text = httpx.get(f"http://127.0.0.1:{proxy}/metrics", trust_env=False).text
    queried = set(re.findall(r"\bhaproxy_\w+", " ".join(QUERIES.values())))
    assert queried
    assert queried <= set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
