"""The alerts and the dashboard in deploy/ ask for metrics and labels that a service exposes."""

import json
import re
from pathlib import Path
from urllib.request import urlopen

import grpc
import pytest
import yaml
from calls import ask, ask_at_once
from served import starts_server
from serving import serving
from tritonclient import grpc as triton_grpc
from tritonclient.utils import InferenceServerException

from align_zoo.serving.gateway.metrics import Metrics
from align_zoo.serving.gateway.refusal import Reason

DEPLOY = Path(__file__).parents[2] / "deploy"


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
def exposed(tmp_path_factory, images):
    """Name of each sample of a running service to its labels, after calls of every kind."""
    with serving(tmp_path_factory.mktemp("deployed")) as service:
        with triton_grpc.InferenceServerClient(service.url) as client:
            ask(client, "align_image", images[:2])
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
