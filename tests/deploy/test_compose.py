"""compose.yaml mounts files that exist where the tools look for them, and knows the server's ports."""

from __future__ import annotations

import re
from typing import Any

import pytest
from glossd.config import MetricsSettings, ServerSettings, load_settings

from tests.deploy.manifests import ROOT, read

WATCHING = {"deploy/grafana/dashboard.json", "deploy/grafana/alerts.yaml"}


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    (compose,) = read(ROOT / "compose.yaml")
    return dict(compose["services"])


def mounts(service: dict[str, Any]) -> dict[str, str]:
    """Files of this tree by their place in the container."""
    pairs = [volume.split(":") for volume in service["volumes"]]
    return {target: source.removeprefix("./") for source, target, *_ in pairs if source.startswith("./")}


def test_every_file_that_is_mounted_is_in_the_tree(services: dict[str, Any]) -> None:
    mounted = {source for service in services.values() for source in mounts(service).values()}
    assert mounted >= WATCHING
    assert [source for source in mounted if not (ROOT / source).is_file()] == []


def test_the_server_is_scraped_and_reached_on_its_own_ports(services: dict[str, Any]) -> None:
    (prometheus,) = read(ROOT / mounts(services["prometheus"])["/etc/prometheus/prometheus.yaml"])
    (job,) = prometheus["scrape_configs"]
    assert job["static_configs"] == [{"targets": [f"glossd:{MetricsSettings().port}"]}]
    port = ServerSettings().port
    assert services["glossd"]["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert load_settings(environment=services["glossd"]["environment"]).settings.metrics.enabled
    (rules,) = prometheus["rule_files"]
    alerts = (ROOT / mounts(services["prometheus"])[rules]).read_text(encoding="utf-8")
    assert set(re.findall(r'job="(\w+)"', alerts)) == {job["job_name"]}


def test_nothing_is_open_beyond_this_machine(services: dict[str, Any]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", ())]
    assert len(ports) == 3
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_grafana_gets_its_data_source_and_looks_for_dashboards_where_one_is_mounted(services: dict[str, Any]) -> None:
    mounted = mounts(services["grafana"])
    (sources,) = read(ROOT / mounted["/etc/grafana/provisioning/datasources/glossd.yaml"])
    assert [source["url"] for source in sources["datasources"]] == ["http://prometheus:9090"]
    (dashboards,) = read(ROOT / mounted["/etc/grafana/provisioning/dashboards/glossd.yaml"])
    (provider,) = dashboards["providers"]
    assert f"{provider['options']['path']}/dashboard.json" in mounted


def test_the_server_runs_read_only_without_rights_and_with_time_to_drain(services: dict[str, Any]) -> None:
    server = services["glossd"]
    assert server["read_only"] is True
    assert server["cap_drop"] == ["ALL"]
    assert float(server["stop_grace_period"].removesuffix("s")) >= ServerSettings().drain_seconds + 5
