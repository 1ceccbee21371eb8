"""The manifests fit the server that they run: ports, probes, settings, metrics, rights. And kustomize renders them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from glossd.config import MetricsSettings, ServerSettings, load_settings
from glossd.server.app import SERVICE_NAMES
from glossd.telemetry.metrics import EngineReading, Metrics
from prometheus_client import generate_latest

from tests.deploy.manifests import (
    KUBERNETES,
    OVERLAYS,
    ROOT,
    Manifest,
    environment_of,
    read,
    rendered,
    server_of,
    written,
)

PODS = {"app.kubernetes.io/name": "glossd", "app.kubernetes.io/component": "server"}
SIGNAL_SECONDS = 5  # for a process to end once it has drained


@pytest.fixture(scope="module")
def deployment() -> Manifest:
    (found,) = read(KUBERNETES / "base" / "deployment.yaml")
    return found


@pytest.fixture(scope="module")
def metric_names() -> set[str]:
    metrics = Metrics()
    metrics.watch_engines(lambda: [EngineReading(model="toy", alive=True)])
    return set(re.findall(r"^(glossd_\w+)", generate_latest(metrics.registry).decode(), flags=re.MULTILINE))


def pod_specs() -> list[Any]:
    found = []
    for path, manifest in written():
        for template in pod_templates(manifest):
            if "securityContext" in template["spec"]:
                name = template["spec"]["containers"][0]["name"]
                found.append(pytest.param(template["spec"], id=f"{path.parent.name}-{path.stem}-{name}"))
    return found


def pod_templates(manifest: Manifest) -> list[Manifest]:
    """The pods that a manifest makes."""
    spec = manifest.get("spec", {})
    if manifest["kind"] != "RayJob":
        return [spec["template"]] if "template" in spec else []
    groups = [spec["rayClusterSpec"]["headGroupSpec"], *spec["rayClusterSpec"]["workerGroupSpecs"]]
    return [spec["submitterPodTemplate"], *(group["template"] for group in groups)]


def test_the_ports_are_the_servers_defaults(deployment: Manifest) -> None:
    ports = {port["name"]: port["containerPort"] for port in server_of(deployment)["ports"]}
    assert ports == {"grpc": ServerSettings().port, "metrics": MetricsSettings().port}
    (service,) = read(KUBERNETES / "base" / "service.yaml")
    assert [port["port"] for port in service["spec"]["ports"]] == [ServerSettings().port]
    annotations = deployment["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(MetricsSettings().port)


def test_the_probes_ask_the_grpc_port_for_names_that_health_knows(deployment: Manifest) -> None:
    container = server_of(deployment)
    asked = {kind: container[f"{kind}Probe"]["grpc"] for kind in ("startup", "readiness", "liveness")}
    assert {probe["port"] for probe in asked.values()} == {ServerSettings().port}
    assert {probe.get("service", "") for probe in asked.values()} <= {"", *SERVICE_NAMES}
    assert asked["readiness"]["service"] in SERVICE_NAMES


def test_a_pod_gets_the_time_to_drain(deployment: Manifest) -> None:
    container = server_of(deployment)
    drain = float(environment_of(container)["GLOSSD_SERVER__DRAIN_SECONDS"])
    (_, pause) = container["lifecycle"]["preStop"]["exec"]["command"]
    grace = deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace >= float(pause) + drain + SIGNAL_SECONDS


def test_every_variable_is_a_setting_that_takes_its_value() -> None:
    seen = 0
    for _, manifest in written():
        if manifest["kind"] == "Deployment":
            variables = environment_of(server_of(manifest))
            ours = {name: value for name, value in variables.items() if name.startswith("GLOSSD_")}
            filled = {name: value if isinstance(value, str) else "2" for name, value in ours.items()}
            loaded = load_settings(environment=filled)
            assert len(loaded.origins) == len(ours)
            seen += len(ours)
    assert seen > 8


@pytest.mark.parametrize("spec", pod_specs())
def test_pods_have_no_right_they_do_not_need(spec: Manifest) -> None:
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == 10001
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in spec["containers"]:
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        writable = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
        assert writable <= {"/tmp", "/models", "/corpus", "/dev/shm"}


def test_clients_find_every_replica_by_a_headless_name() -> None:
    (service,) = read(KUBERNETES / "base" / "service.yaml")
    assert service["spec"]["clusterIP"] == "None"


def test_the_network_policy_lets_calls_and_scrapes_in_and_nothing_out(deployment: Manifest) -> None:
    (policy,) = read(KUBERNETES / "base" / "network.yaml")
    assert policy["spec"]["egress"] == []
    opened = {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]}
    assert opened == {port["name"] for port in server_of(deployment)["ports"]}
    assert all(rule["from"] for rule in policy["spec"]["ingress"])


def test_autoscaling_asks_for_metrics_that_the_server_has(metric_names: set[str]) -> None:
    (scaled,) = read(KUBERNETES / "overlays" / "autoscaling" / "scaledobject.yaml")
    queries = [trigger["metadata"]["query"] for trigger in scaled["spec"]["triggers"]]
    asked = {name for query in queries for name in re.findall(r"glossd_\w+", query)}
    (autoscaler,) = read(KUBERNETES / "overlays" / "autoscaling-hpa" / "autoscaler.yaml")
    asked |= {metric["pods"]["metric"]["name"] for metric in autoscaler["spec"]["metrics"]}
    assert asked
    assert asked <= metric_names


def test_scaling_down_waits_longer_than_a_replica_may_take_to_start(deployment: Manifest) -> None:
    probe = server_of(deployment)["startupProbe"]
    (scaled,) = read(KUBERNETES / "overlays" / "autoscaling" / "scaledobject.yaml")
    (autoscaler,) = read(KUBERNETES / "overlays" / "autoscaling-hpa" / "autoscaler.yaml")
    behaviours = [
        scaled["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"],
        autoscaler["spec"]["behavior"],
    ]
    for behaviour in behaviours:
        assert (
            behaviour["scaleDown"]["stabilizationWindowSeconds"] >= probe["periodSeconds"] * probe["failureThreshold"]
        )


@pytest.mark.parametrize("name", OVERLAYS)
def test_an_overlay_renders_a_whole_installation(name: str) -> None:
    kinds = rendered(KUBERNETES / "overlays" / name)
    assert {"Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy", "ServiceAccount"} <= kinds.keys()
    deployment = kinds["Deployment"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    for selector in (
        deployment["spec"]["selector"]["matchLabels"],
        kinds["Service"]["spec"]["selector"],
        kinds["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        kinds["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
    ):
        assert selector == PODS
        assert selector.items() <= labels.items()
    volumes = {volume["name"]: volume for volume in deployment["spec"]["template"]["spec"]["volumes"]}
    assert {mount["name"] for mount in server_of(deployment)["volumeMounts"]} == volumes.keys()
    assert all(len(volume) == 2 for volume in volumes.values()), "a volume has a name and one source"


def test_the_cpu_overlay_starts_as_many_engines_as_it_may_use_cores() -> None:
    container = server_of(rendered(KUBERNETES / "overlays" / "cpu")["Deployment"])
    workers = environment_of(container)["GLOSSD_ENGINE__WORKERS"]
    assert workers == {"resourceFieldRef": {"resource": "limits.cpu"}}
    assert int(container["resources"]["limits"]["cpu"]) >= 1


def test_the_gpu_overlay_takes_one_gpu_and_reads_its_model_from_a_volume_that_a_job_fills() -> None:
    kinds = rendered(KUBERNETES / "overlays" / "gpu")
    container = server_of(kinds["Deployment"])
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    volumes = {volume["name"]: volume for volume in kinds["Deployment"]["spec"]["template"]["spec"]["volumes"]}
    claim = kinds["PersistentVolumeClaim"]["metadata"]["name"]
    assert volumes["models"]["persistentVolumeClaim"]["claimName"] == claim
    fetching = server_of(kinds["Job"])
    assert fetching["args"] == ["models", "fetch", environment_of(container)["GLOSSD_MODELS__TRANSLATION"]]
    assert fetching["image"] == container["image"] == "glossd:cuda"
    assert kinds["Job"]["spec"]["template"]["metadata"]["labels"] != PODS, (
        "or the policy would keep it from the network"
    )


@pytest.mark.parametrize("name", ["autoscaling", "autoscaling-hpa"])
def test_where_replicas_are_scaled_the_deployment_does_not_count_them(name: str) -> None:
    kinds = rendered(KUBERNETES / "overlays" / name)
    assert "replicas" not in kinds["Deployment"]["spec"]
    scaler = kinds.get("ScaledObject") or kinds["HorizontalPodAutoscaler"]
    assert scaler["spec"]["scaleTargetRef"]["name"] == kinds["Deployment"]["metadata"]["name"]


@pytest.mark.parametrize("version", ["1.27", "1.32", "1.37"])
@pytest.mark.parametrize("name", [*(f"overlays/{name}" for name in OVERLAYS), "corpus"])
def test_what_is_rendered_fits_the_schemas_of_the_cluster(name: str, version: str) -> None:
    schemas = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    checked = 0
    for kind, manifest in rendered(KUBERNETES / name).items():
        if kind == "RayJob":  # of KubeRay, whose pods are those of Kubernetes
            for template in pod_templates(manifest):
                pod = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "pod"}, "template": template}
                schemas.validate(pod, version, strict=True)
                checked += 1
        elif kind != "ScaledObject":  # of KEDA
            schemas.validate(manifest, version, strict=True)
            checked += 1
    assert checked >= 5


def test_the_ray_job_runs_a_corpus_again_until_it_is_done_with_the_ray_that_is_pinned() -> None:
    (job,) = read(KUBERNETES / "corpus" / "rayjob.yaml")
    spec = job["spec"]
    assert spec["entrypoint"].split()[:2] == ["glossd", "corpus"]
    assert "--engine ray --address auto" in spec["entrypoint"]
    assert spec["shutdownAfterJobFinishes"] is True
    assert spec["backoffLimit"] > 0
    pinned = re.search(r"^ray==(\S+)", (ROOT / "deploy" / "image" / "extra-ray.txt").read_text(), flags=re.MULTILINE)
    assert pinned
    assert spec["rayClusterSpec"]["rayVersion"] == pinned[1]


def test_the_ray_jobs_pods_reach_each_other_and_nobody_else() -> None:
    kinds = rendered(KUBERNETES / "corpus")
    policy = kinds["NetworkPolicy"]["spec"]
    labels = policy["podSelector"]["matchLabels"]
    templates = pod_templates(kinds["RayJob"])
    assert len(templates) == 3
    for template in templates:
        assert labels.items() <= template["metadata"]["labels"].items()
        (container,) = template["spec"]["containers"]
        assert container["image"] == "glossd:ray"
        volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
        assert (
            volumes["corpus"]["persistentVolumeClaim"]["claimName"]
            == kinds["PersistentVolumeClaim"]["metadata"]["name"]
        )
    assert policy["ingress"] == [{"from": [{"podSelector": {"matchLabels": labels}}]}]
