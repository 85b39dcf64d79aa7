"""The files in `deploy/`: each is read by the tool that checks it, and what they name is there."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from autorag_whisper.cli.serve import serve
from autorag_whisper.jobs.memory import MemoryJobStore
from autorag_whisper.server.metrics import Metrics

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = sorted(DEPLOY.glob("compose*.yaml"))
DASHBOARD = DEPLOY / "grafana" / "autorag-whisper.json"


def tool(name: str) -> str:
    """A program of this environment or of the machine; the test is skipped where there is none."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        pytest.skip(f"needs {name}")
    return found


def checked(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def series() -> set[str]:
    """Names of all series that the service has."""
    metrics = Metrics()
    metrics.watch_jobs(MemoryJobStore().usage)
    metrics.watch_process("worker", lambda: 1)
    for gauge in ("requests_in_work", "ready"):
        metrics.gauge(gauge, "", lambda: 0.0)
    found = set[str]()
    for family in text_string_to_metric_families(metrics.text().decode()):
        ends = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}.get(family.type, [""])
        found |= {family.name + end for end in ends}
    return found


def test_the_container_file_has_no_fault_that_its_linter_knows() -> None:
    checked(tool("hadolint"), str(DEPLOY / "Dockerfile"))


def test_the_container_runs_as_nobody_special_from_pinned_packages_and_says_whether_it_is_ready() -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    stages = dict(re.findall(r"^FROM \S+ AS (\w+)\n(.*?)(?=^FROM|\Z)", text, re.M | re.S))
    assert set(stages) == {"build", "cpu", "cuda"}
    assert "--require-hashes" in stages["build"]
    assert re.search(r"^USER 10001:10001$", stages["cpu"], re.MULTILINE)
    assert "USER" not in stages["cuda"]  # as `cpu`, which it is made of
    assert "/readyz" in stages["cpu"].partition("HEALTHCHECK")[2]
    for name in re.findall(r"REQUIREMENTS=([\w-]+)", text):
        assert (ROOT / "requirements" / f"{name}.txt").is_file()
    for line in re.findall(r"^COPY (?!--from)(.*)$", text, re.MULTILINE):
        *sources, _ = line.split()
        assert all((ROOT / source).exists() for source in sources if "$" not in source), line


@pytest.mark.parametrize("path", COMPOSE, ids=lambda path: path.name)
def test_compose_files_are_what_the_specification_says(path: Path) -> None:
    checked(sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(path))


def test_what_the_compose_file_mounts_and_names_is_there() -> None:
    compose = read(DEPLOY / "compose.yaml")
    for name, service in compose["services"].items():
        for mount in service.get("volumes", []):
            source = mount.partition(":")[0]
            there = (DEPLOY / source).is_file() if source.startswith(".") else source in compose["volumes"]
            assert there, (name, mount)
        assert set(service.get("secrets", [])) <= set(compose["secrets"])
        assert set(service.get("depends_on", [])) <= set(compose["services"])
        assert re.search(r":[\w.]+$", service["image"]), "a tag, so that a start is the same one tomorrow"
    server = compose["services"]["server"]
    assert server["read_only"]
    assert server["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in server["security_opt"]
    assert all(port.startswith("127.0.0.1:") for one in compose["services"].values() for port in one.get("ports", []))


def test_the_collector_has_all_parts_that_its_pipelines_name() -> None:
    collector = read(DEPLOY / "collector.yaml")
    for pipeline in collector["service"]["pipelines"].values():
        for kind in ("receivers", "processors", "exporters"):
            assert set(pipeline[kind]) <= set(collector[kind])
    endpoint = read(DEPLOY / "compose.yaml")["services"]["server"]["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"]
    port = collector["receivers"]["otlp"]["protocols"]["http"]["endpoint"].rpartition(":")[2]
    assert endpoint == f"http://collector:{port}"


def test_every_query_of_the_dashboard_names_figures_and_sources_that_there_are() -> None:
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    sources = {one["uid"] for one in read(DEPLOY / "grafana" / "datasources.yaml")["datasources"]}
    targets = [target for panel in dashboard["panels"] for target in panel["targets"]]
    assert len(targets) > 15
    named = {name for target in targets for name in re.findall(r"autorag_whisper_\w+", target["expr"])}
    assert named - series() == set()
    assert {target["datasource"]["uid"] for target in targets} <= sources
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    places = [(p["gridPos"]["x"], p["gridPos"]["y"]) for p in dashboard["panels"]]
    assert len(set(places)) == len(places)


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, with a program that is on this machine: what is checked is the rest."""
    text = (DEPLOY / "autorag-whisper.service").read_text(encoding="utf-8")
    made = tmp_path / "autorag-whisper.service"
    made.write_text(re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={shutil.which('true')}", text))
    return made


def test_the_unit_is_one_that_systemd_reads_without_a_warning(unit: Path) -> None:
    assert checked(tool("systemd-analyze"), "verify", str(unit)) == ""


def test_the_unit_leaves_the_service_little_that_it_could_harm(unit: Path) -> None:
    checked(tool("systemd-analyze"), "security", "--offline=true", "--threshold=25", str(unit))


@pytest.mark.parametrize("name", ["Dockerfile", "autorag-whisper.service"])
def test_the_command_lines_are_ones_that_the_command_takes(name: str) -> None:
    text = (DEPLOY / name).read_text(encoding="utf-8")
    lines = [json.loads(found) for found in re.findall(r"^ENTRYPOINT (.*)$", text, re.MULTILINE)]
    lines += [shlex.split(found) for found in re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)]
    (line,) = lines
    assert line[1] == "serve"
    assert serve.make_context("serve", line[2:]).params["data"] == Path("/var/lib/autorag-whisper")
