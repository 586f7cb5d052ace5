"""Every query of the dashboard gives something in a real Prometheus that asks real processes."""

import json
import re
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import prometheus_client
import pytest
import yaml

ROOT = Path(__file__).parents[2]
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "dashboards" / "gatewise.json").read_text())
QUERIES = {
    f"{panel['title']} {target['refId']}": target["expr"]
    for panel in DASHBOARD["panels"]
    for target in panel.get("targets", [])
    if "ALERTS" not in target["expr"]
}
LABELS = {"model": "a", "version": "1", "route": "/predict", "sha256": "0", "reason": "gone"}


def make(name, labels, registry):
    """A metric by the name of one of its series, with values of its labels."""
    kind: Any = prometheus_client.Gauge
    if name.endswith("_total"):
        kind = prometheus_client.Counter
    elif name.endswith("_count"):
        kind = prometheus_client.Histogram
    elif name.endswith(("_sum", "_bucket")):
        return []  # come with the count
    metric = kind(name.removesuffix("_count"), name, sorted(labels), registry=registry)
    if not labels:
        return [metric]
    values = {label: LABELS.get(label, "loaded") for label in labels}
    if "status" not in labels:
        return [metric.labels(**values)]
    return [metric.labels(**values | {"status": status}) for status in ("200", "500")]


@pytest.fixture(scope="module")
def exporter(metrics):
    """The port of a process with every metric of the service, which is this one."""
    registry = prometheus_client.CollectorRegistry()
    prometheus_client.ProcessCollector(registry=registry)
    counted = [made for name, labels in metrics.items() for made in make(name, labels, registry)]
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
def prometheus(program, tmp_path_factory, exporter, proxy_port, free_port, wait_for):
    """The address of a Prometheus that has asked both for some seconds."""
    folder = tmp_path_factory.mktemp("prometheus")
    ports = {"gatewise": exporter, "proxy": proxy_port}
    jobs = [
        {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
        for job, port in ports.items()
    ]
    often = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    (folder / "prometheus.yml").write_text(
        yaml.safe_dump({"global": often, "scrape_configs": jobs})
    )
    listen = f"127.0.0.1:{free_port()}"
    process = subprocess.Popen(
        [
            program("prometheus", "prometheus"),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={listen}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with process:
        wait_for(f"http://{listen}/-/ready", process)
        # Once it has asked both some times: a rate is of two answers.
        seen, deadline = 0, time.monotonic() + 60
        while seen < 2:
            assert time.monotonic() < deadline
            seen = len(ask(f"http://{listen}", "count_over_time(up[1m]) >= 5"))
            time.sleep(0.2)
        yield f"http://{listen}"
        process.terminate()


def ask(url, query):
    """The series that a query gives now."""
    response = httpx.get(f"{url}/api/v1/query", params={"query": query}, trust_env=False)
    found: list[dict[str, Any]] = response.json()["data"]["result"]
    return found


@pytest.mark.parametrize("name", QUERIES)
def test_a_panel_shows_something(prometheus, name):
    query = re.sub(r"\$\w+", ".*", QUERIES[name].replace("$__rate_interval", "20s"))
    result = ask(prometheus, query)
    assert result
    assert not [each for each in result if each["value"][1] == "NaN"]
