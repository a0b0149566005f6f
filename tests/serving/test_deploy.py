"""deploy/ speaks of what there is: metrics, labels, flags, ports and paths."""

import configparser
import json
import re
from pathlib import Path
from urllib.request import urlopen

import grpc
import pytest
import tomllib
import typer
import yaml
from calls import ask, ask_at_once
from served import starts_server
from serving import serving
from tritonclient import grpc as triton_grpc
from tritonclient.utils import InferenceServerException

from align_zoo.cli import app
from align_zoo.serving.gateway.metrics import Metrics
from align_zoo.serving.gateway.refusal import Reason
from align_zoo.serving.supervision.running import _START_SECONDS
from align_zoo.serving.supervision.supervisor import _DRAIN_SECONDS

DEPLOY = Path(__file__).parents[2] / "deploy"
DRAIN_SECONDS = 30
FUNCTIONS = {"rate", "increase", "sum", "by", "max_over_time", "histogram_quantile", "Inf"}
FROM_PROMETHEUS = {"up": {"instance", "job"}}


def alerts():
    (group,) = yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"]
    return group["rules"]


def panels():
    return json.loads((DEPLOY / "grafana.json").read_text())["panels"]


QUERIES = [rule["expr"] for rule in alerts()]
QUERIES += [target["expr"] for panel in panels() for target in panel["targets"]]


def metrics_of(query):
    """The metrics that a query names, each with the labels it asks of them."""
    grouped = {
        label for labels in re.findall(r"by \(([^)]*)\)", query) for label in labels.split(", ")
    }
    without = re.sub(r"by \([^)]*\)", " ", query)
    found = {}
    for name, matchers in re.findall(r"([a-zA-Z_:][\w:]*)\s*(?:\{([^}]*)\})?", drop_rest(without)):
        if name not in FUNCTIONS:
            asked = set(re.findall(r"(\w+)\s*[=!]~?", matchers))
            found[name] = found.get(name, set()) | asked | grouped
    return found


def drop_rest(query):
    """Without durations and numbers, which may have letters in them."""
    return re.sub(r"\[[^]]*\]|\b\d[\w.]*", " ", query)


@pytest.fixture(scope="module")
@starts_server
def exposed(tmp_path_factory, pictures):
    """Name of each sample of a running service to its labels, after calls of every kind."""
    with serving(tmp_path_factory.mktemp("deployed")) as service:
        with triton_grpc.InferenceServerClient(service.url) as client:
            ask(client, "align_image", pictures[:2])
            ask(client, "align_text", [b"a cat"])
            ask_at_once(client, "align_text", [[b""], [b"\xff"]])
            with pytest.raises(InferenceServerException, match="closed"):
                client.unload_model("align_text")
        with urlopen(service.metrics, timeout=10) as answer:
            text = answer.read().decode()
    told = re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)
    library = [line for line in Metrics().text().splitlines() if line.split("{")[0] in told]
    labels = dict(FROM_PROMETHEUS)
    # Read as Prometheus does: prometheus_client's parser gives counters another name.
    for line in [*text.splitlines(), *library]:
        if not line.startswith("#"):
            name, asked = re.match(r"([\w:]+)(?:{(.*)})? ", line).groups()
            known = labels.setdefault(name, {"instance", "job"})
            labels[name] = known | set(re.findall(r'(\w+)="', asked or ""))
    return labels


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_asks_for_what_the_service_exposes(exposed, query):
    asked = metrics_of(query)
    assert asked
    for name, labels in asked.items():
        assert name in exposed
        assert labels <= exposed[name], name


def test_check_of_metrics_finds_a_missing_metric():
    assert metrics_of('sum by (model) (rate(align_zoo_reqests_total{code!="OK"}[5m])) / 1e6') == {
        "align_zoo_reqests_total": {"code", "model"}
    }


def test_every_metric_of_ours_is_on_the_dashboard(exposed):
    shown = {name for panel in panels() for t in panel["targets"] for name in metrics_of(t["expr"])}
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in shown}
    ours = {name for name in exposed if name.startswith("align_zoo")}
    ours = {re.sub(r"_(bucket|sum|count|created)$", "", name) for name in ours}
    assert {name.removesuffix("_total") for name in ours} == {
        name.removesuffix("_total") for name in families if name.startswith("align_zoo")
    }


@pytest.mark.parametrize(
    ("label", "known"),
    [("code", {code.name for code in grpc.StatusCode}), ("reason", {r.label for r in Reason})],
)
def test_label_values_in_alerts_exist(label, known):
    found = [
        value
        for rule in alerts()
        for values in re.findall(rf'{label}=~"([^"]*)"', rule["expr"])
        if "decode_failures" not in rule["expr"]
        for value in values.split("|")
    ]
    assert found
    assert set(found) <= known


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_alerts_name_the_problem_and_the_remedy(rule):
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["annotations"]["summary"] and rule["annotations"]["do"]
    for label in re.findall(r"\$labels\.(\w+)", str(rule["annotations"])):
        aggregated = re.findall(r"sum by \(([^)]*)\)", rule["expr"])
        assert label == "instance" or not aggregated or label in aggregated[0]


def rule(name):
    (found,) = (rule for rule in alerts() if rule["alert"] == name)
    return found


def test_flapping_service_is_down_or_not_ready():
    # Beyond the gap that the one bridges the other one begins.
    bridged = re.search(
        r"max_over_time\(align_zoo_ready\[(\w+)\]\)", rule("AlignZooNotReady")["expr"]
    )
    assert bridged[1] == rule("AlignZooDown")["for"]


def test_model_that_never_answered_is_not_silent():
    assert rule("AlignZooNoProof")["expr"].endswith("< Inf")


def test_gateway_refusals_are_not_model_errors():
    selected = re.findall(r"align_zoo_requests_total\{([^}]*)\}", rule("AlignZooErrors")["expr"])
    assert len(selected) == 2 and all('model!=""' in each for each in selected)


def test_expected_alerts_exist():
    named = re.findall(r'alertname="(\w+)"', (DEPLOY / "alerts_test.yml").read_text())
    assert named and set(named) <= {rule["alert"] for rule in alerts()}


def test_panels_have_places_and_numbers_of_their_own():
    places = {(p["gridPos"]["x"], p["gridPos"]["y"]) for p in panels()}
    assert len(places) == len({p["id"] for p in panels()}) == len(panels())


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
    (install,) = re.findall(r"(.*\n.*pip install.*)", text)
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
        re.findall(r"\]\(([\w.-]+)\)", text)
    )
