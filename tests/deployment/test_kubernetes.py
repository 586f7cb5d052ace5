"""The manifests, by the schemas of Kubernetes itself and by what the service and the image do."""

import copy
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import jsonschema
import pytest
import yaml

from gatewise.service.serving.app import create_app
from gatewise.service.serving.settings import Settings, variable

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
KUSTOMIZATION = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
COMPONENTS = sorted(path.name for path in (FOLDER / "components").iterdir())
# The oldest has the pause before a stop, by default; the newest that the schemas are known of.
VERSIONS = ["1.30", "1.31", "1.32", "1.33", "1.34", "1.35", "1.36", "1.37"]
NAME = {"app.kubernetes.io/name": "gatewise"}


def manifests():
    documents = [
        document
        for name in KUSTOMIZATION["resources"]
        for document in yaml.safe_load_all((FOLDER / name).read_text())
    ]
    found = {document["kind"]: document for document in documents}
    assert len(found) == len(documents)
    return found


def component(name):
    text = (FOLDER / "components" / name / "kustomization.yaml").read_text()
    return yaml.safe_load(text)


def with_component(name):
    """The manifests with a component's patches: RFC 6902, or the removal of a whole manifest."""
    changed = copy.deepcopy(manifests())
    for patch in component(name).get("patches", []):
        kind = patch["target"]["kind"]
        assert changed[kind]["metadata"]["name"] == patch["target"]["name"]
        steps = yaml.safe_load(patch["patch"])
        if isinstance(steps, dict):
            assert steps["$patch"] == "delete"
            del changed[kind]
            continue
        for step in steps:
            *parents, last = step["path"].strip("/").split("/")
            place = changed[kind]
            for key in parents:
                place = place[int(key)] if isinstance(place, list) else place[key]
            if isinstance(place, list):
                if step["op"] == "replace":
                    place[int(last)] = step["value"]
                else:
                    assert (step["op"], last) == ("add", "-")
                    place.append(step["value"])
            else:
                # An `add` would put what is there aside, and a `replace` needs something.
                assert (last in place) == (step["op"] == "replace")
                place[last] = step["value"]
    for file in component(name).get("resources", []):
        document = yaml.safe_load((FOLDER / "components" / name / file).read_text())
        if document["apiVersion"] in {"v1", "networking.k8s.io/v1"}:  # not of an operator's own
            changed[document["kind"]] = document
    return changed


def variants():
    base = pytest.param(manifests(), id="base")
    return [base, *(pytest.param(with_component(name), id=name) for name in COMPONENTS)]


@pytest.fixture
def deployment():
    return manifests()["Deployment"]


@pytest.fixture
def pod(deployment):
    return deployment["spec"]["template"]["spec"]


@pytest.fixture
def container(pod):
    (found,) = pod["containers"]
    return dict(found)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("documents", variants())
def test_kubernetes_knows_every_field(validate_kubernetes, documents, version):
    for document in documents.values():
        if version < "1.31":  # had no volumes from images
            volumes = document.get("spec", {}).get("template", {}).get("spec", {}).get("volumes")
            if any("image" in volume for volume in volumes or ()):
                continue
        validate_kubernetes(document, version)


def test_a_field_that_is_misspelt_would_be_found(validate_kubernetes, deployment):
    deployment["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(jsonschema.ValidationError, match="readynessProbe"):
        validate_kubernetes(deployment, VERSIONS[-1])


def test_everything_in_the_folder_is_used():
    generated = {file for each in KUSTOMIZATION["configMapGenerator"] for file in each["envs"]}
    used = {*KUSTOMIZATION["resources"], *generated, "kustomization.yaml", "components"}
    assert {path.name for path in FOLDER.iterdir()} == used
    offered = re.findall(r"#   - components/(\S+)", (FOLDER / "kustomization.yaml").read_text())
    assert sorted(offered) == COMPONENTS


def test_the_image_is_the_projects_version_and_does_what_the_dockerfile_says(container):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (image,) = KUSTOMIZATION["images"]
    assert image["name"] == container["image"]
    assert image["newTag"] == project["version"]
    dockerfile = (ROOT / "Dockerfile").read_text()
    command = re.findall(r"^CMD (\[\"gatewise\", \"serve\".*\])$", dockerfile, re.MULTILINE)
    assert [yaml.safe_load(command[0])] == [container["args"]]
    assert "command" not in container


def test_what_is_set_is_a_setting(container):
    lines = (FOLDER / "settings.env").read_text().splitlines()
    assert {line.partition("=")[0] for line in lines} <= set(map(variable, Settings.model_fields))
    (generated,) = KUSTOMIZATION["configMapGenerator"]
    assert container["envFrom"] == [{"configMapRef": {"name": generated["name"]}}]


def test_a_pod_keeps_to_the_restricted_profile(pod, container):
    # https://kubernetes.io/docs/concepts/security/pod-security-standards/
    labels = manifests()["Namespace"]["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001
    assert "USER 10001:10001" in (ROOT / "Dockerfile").read_text()
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    inside = container["securityContext"]
    assert inside["allowPrivilegeEscalation"] is False
    assert inside["readOnlyRootFilesystem"] is True
    assert inside["capabilities"] == {"drop": ["ALL"]}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    kinds = {kind for volume in pod["volumes"] for kind in volume if kind != "name"}
    assert kinds <= {"persistentVolumeClaim", "emptyDir", "configMap", "secret", "image"}
    assert pod["automountServiceAccountToken"] is False


def test_probes_ask_the_services_own_routes(container):
    served_routes = create_app(Settings(model="none")).openapi()["paths"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"http": Settings.model_fields["port"].default}
    for name, path in (("startup", "ready"), ("readiness", "ready"), ("liveness", "live")):
        probe = container[f"{name}Probe"]["httpGet"]
        assert probe == {"path": f"/health/{path}", "port": "http"}
        assert probe["path"] in served_routes


def test_there_is_time_to_stop_in(pod, container):
    pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    shutdown = Settings.model_fields["shutdown_seconds"].default
    assert pod["terminationGracePeriodSeconds"] >= pause + shutdown + 5
    # Longer than it takes the cluster to see by itself that a pod is not ready.
    probe = container["readinessProbe"]
    assert pause > probe["periodSeconds"] * probe["failureThreshold"]


def test_nothing_is_lost_while_pods_are_replaced(deployment):
    assert deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert "replicas" not in deployment["spec"]
    scaled = manifests()["HorizontalPodAutoscaler"]["spec"]
    assert scaled["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    budget = manifests()["PodDisruptionBudget"]["spec"]
    assert budget["maxUnavailable"] < scaled["minReplicas"] < scaled["maxReplicas"]


def test_they_all_mean_the_same_pods(deployment, container):
    found = manifests()
    assert deployment["spec"]["template"]["metadata"]["labels"] == NAME
    assert deployment["spec"]["selector"]["matchLabels"] == NAME
    assert found["Service"]["spec"]["selector"] == NAME
    assert found["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == NAME
    assert found["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == NAME
    assert [port["targetPort"] for port in found["Service"]["spec"]["ports"]] == ["http"]
    (spread,) = deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]
    assert spread["labelSelector"]["matchLabels"] == NAME


def test_pods_ask_no_one_for_anything():
    policy = manifests()["NetworkPolicy"]["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["egress"] == []
    (rule,) = policy["ingress"]
    assert [port["port"] for port in rule["ports"]] == ["http"]


def test_the_memory_is_that_of_the_compose_file(container):
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    megabytes = compose["services"]["gatewise"]["mem_limit"].removesuffix("m")
    assert container["resources"]["limits"] == {"memory": f"{megabytes}Mi"}


@pytest.mark.parametrize("documents", variants())
def test_what_is_mounted_is_there_and_the_model_is_only_read(documents):
    pod = documents["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
    assert set(mounts) == {volume["name"] for volume in pod["volumes"]}
    assert mounts["model"]["readOnly"] is True
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert f"ENV GATEWISE_MODEL={mounts['model']['mountPath']}\n" in dockerfile
    claims = {
        volume["persistentVolumeClaim"]["claimName"]
        for volume in pod["volumes"]
        if "persistentVolumeClaim" in volume
    }
    known = documents.get("PersistentVolumeClaim", {}).get("metadata", {}).get("name")
    assert claims == ({known} if known else set())


@pytest.mark.parametrize("name", ["model-from-hub", "model-from-store"])
def test_a_step_before_the_service_fetches_the_model(name):
    documents = with_component(name)
    changed = documents["Deployment"]["spec"]["template"]["spec"]
    (fetch,) = changed["initContainers"]
    (container,) = changed["containers"]
    assert fetch["securityContext"] == container["securityContext"]
    mounts = {mount["name"]: mount for mount in fetch["volumeMounts"]}
    assert mounts["model"] == {"name": "model", "mountPath": "/model"}
    assert set(mounts) == {volume["name"] for volume in changed["volumes"]}
    assert "emptyDir" in changed["volumes"][0]
    ports = documents["NetworkPolicy"]["spec"]["egress"][0]["ports"]
    assert {(port["port"], port["protocol"]) for port in ports} == {
        *((53, "UDP"), (53, "TCP"), (443, "TCP"))
    }
    assert "/model" in fetch["args"]


def test_the_step_of_the_hub_is_a_command_of_the_image():
    (fetch,) = with_component("model-from-hub")["Deployment"]["spec"]["template"]["spec"][
        "initContainers"
    ]
    program, command, _, *options = fetch["args"]
    helped = subprocess.run(
        [sys.executable, "-m", "huggingface_hub.cli.hf", command, "--help"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert program == "hf"
    for option in options:
        assert not option.startswith("--") or option in helped


def test_the_ingress_passes_on_every_route_but_the_metrics():
    (rule,) = with_component("ingress")["Ingress"]["spec"]["rules"]
    paths = rule["http"]["paths"]
    service = manifests()["Service"]
    for each in paths:
        backend = each["backend"]["service"]
        assert backend["name"] == service["metadata"]["name"]
        assert backend["port"]["name"] in {port["name"] for port in service["spec"]["ports"]}

    def passes(route):
        return any(
            route == each["path"]
            or (each["pathType"] == "Prefix" and route.startswith(f"{each['path']}/"))
            for each in paths
        )

    routes = create_app(Settings(model="none")).openapi()["paths"]
    own = ("/", "/docs", "/openapi.json", "/page/page.js", "/stream")
    refused = {route for route in (*routes, *own) if not passes(route)}
    assert refused == {"/metrics"}


def test_keys_are_read_from_the_secret():
    pod = with_component("api-keys")["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    (given,) = container["env"]
    (mount,) = (each for each in container["volumeMounts"] if each["name"] == "api-keys")
    assert given["name"] == variable("api_keys_file")
    assert Path(given["value"]).parent == Path(mount["mountPath"])


def test_prometheus_finds_the_service():
    (name,) = component("monitoring")["resources"]
    monitor = yaml.safe_load((FOLDER / "components" / "monitoring" / name).read_text())["spec"]
    service = manifests()["Service"]
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    (endpoint,) = monitor["endpoints"]
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert endpoint["path"] == "/metrics"
