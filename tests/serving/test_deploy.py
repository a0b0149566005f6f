"""deploy/ names flags, ports and paths that exist."""

import configparser
import json
import re
from pathlib import Path

import pytest
import tomllib
import typer
import yaml

from align_zoo.cli import app
from align_zoo.serving.supervision.running import _START_SECONDS
from align_zoo.serving.supervision.supervisor import _DRAIN_SECONDS

DEPLOY = Path(__file__).parents[2] / "deploy"
DRAIN_SECONDS = 30


def options(command):
    """All flags that a command of align-zoo has."""
    parameters = typer.main.get_command(app).commands[command].params
    return {flag for parameter in parameters for flag in parameter.opts}


def flags_in(text):
    return {word.partition("=")[0] for word in re.findall(r"--[a-z][\w=./-]*", text)}


def unit():
    # Environment occurs several times.
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    parser.read(DEPLOY / "align-zoo.service")
    return parser["Service"]


def kubernetes():
    documents = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())
    return {document["kind"]: document for document in documents}


def compose():
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]


def pod():
    return kubernetes()["Deployment"]["spec"]["template"]["spec"]


@pytest.mark.parametrize(
    "words",
    [
        unit()["ExecStart"],
        " ".join(pod()["containers"][0]["args"]),
        " ".join(compose()["align-zoo"]["command"]),
    ],
    ids=["systemd", "Kubernetes", "Compose"],
)
def test_deploy_files_use_real_serve_flags(words):
    assert flags_in(words)
    assert flags_in(words) <= options("serve")


def test_systemd_unit_calls_real_commands_and_waits():
    assert unit()["ExecStart"].split()[:2] == ["/opt/align-zoo/bin/align-zoo", "serve"]
    assert unit()["ExecReload"].split()[1:] == ["reload"]
    assert unit()["KillMode"] == "mixed"
    assert int(unit()["TimeoutStopSec"]) > DRAIN_SECONDS


def test_systemd_lets_a_reload_finish():
    minutes = int(unit()["TimeoutStartSec"].removesuffix("min"))
    assert 60 * minutes > _START_SECONDS + _DRAIN_SECONDS


def test_kubernetes_probes_the_documented_health_port():
    container, ports = pod()["containers"][0], {"grpc": 8001, "http": 8000, "metrics": 8002}
    assert {port["name"]: port["containerPort"] for port in container["ports"]} == ports
    for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[kind]["httpGet"] == {"path": "/healthz", "port": "metrics"}
    liveness = container["livenessProbe"]
    assert liveness["periodSeconds"] * liveness["failureThreshold"] >= 120  # a restart fits in
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod()["terminationGracePeriodSeconds"] > DRAIN_SECONDS + pause


def test_kubernetes_grants_only_shared_memory():
    container = pod()["containers"][0]
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod()["volumes"]}
    assert set(mounts.values()) == set(volumes)
    assert volumes[mounts["/dev/shm"]]["emptyDir"]["medium"] == "Memory"
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert pod()["securityContext"]["runAsNonRoot"] is True
    for argument in container["args"]:
        path = argument.partition("=")[2]
        assert not path.startswith("/") or any(path.startswith(place) for place in mounts)


def test_compose_publishes_on_loopback_only():
    ports = [port for service in compose().values() for port in service["ports"]]
    assert ports and all(port.startswith("127.0.0.1:") for port in ports)


def test_prometheus_reads_metrics_port_and_rules():
    config = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
    assert [(DEPLOY / name).is_file() for name in config["rule_files"]] == [True]
    (job,) = config["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["align-zoo:8002"]}]
    assert f'job="{job["job_name"]}"' in (DEPLOY / "alerts.yml").read_text()


def test_image_copies_existing_files_without_triton_wheel():
    text = (DEPLOY / "Dockerfile").read_text()
    copied = [word for line in re.findall(r"^COPY (.*) \S+$", text, re.M) for word in line.split()]
    assert copied and all((DEPLOY.parent / name).exists() for name in copied)
    assert "/src[gateway]" in text
    command = json.loads(re.search(r'CMD (\["align-zoo".*\])', text)[1])
    assert command[:2] == ["align-zoo", "probe"]
    start = json.loads(re.search(r"ENTRYPOINT (.*)", text)[1])
    assert start == ["/opt/nvidia/nvidia_entrypoint.sh", "align-zoo", "serve"]


def test_only_the_other_extra_adds_the_triton_wheel():
    extras = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    assert not [name for name in extras["gateway"] if re.match("nvidia-pytriton|numpy", name)]
    added = [re.split("[<=]", name)[0] for name in extras["server"]]
    assert added == ["align-zoo[gateway]", "nvidia-pytriton"]


def test_image_installs_pinned_versions_without_ensurepip():
    """NVIDIA's Python 3.12 has none, so `python3 -m venv` alone fails."""
    text = (DEPLOY / "Dockerfile").read_text()
    assert re.findall(r"-m venv (\S+)", text) == ["--without-pip"]
    (install,) = re.findall(r"((?:.*\\\n)*.*pip install.*)", text)
    for variable in ("PIP_CONSTRAINT", "PIP_BUILD_CONSTRAINT"):
        assert f" {variable}=/src/constraints.txt " in install
    assert "constraints.txt" in re.search(r"^COPY (.*) /src/$", text, re.M)[1].split()


def test_every_file_names_the_same_oldest_image():
    floors = {
        floor
        for path in (DEPLOY / "Dockerfile", DEPLOY / "README.md", DEPLOY.parent / "SECURITY.md")
        for floor in re.findall(r"(\d\d\.\d\d)\s+or\s+newer", path.read_text())
    }
    assert floors == {"26.09"}


def test_the_readme_names_every_file():
    text = (DEPLOY / "README.md").read_text()
    assert {path.name for path in DEPLOY.iterdir()} - {"README.md"} <= set(
        re.findall(r"\]\(([\w.-]+)", text)
    )
