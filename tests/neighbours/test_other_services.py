"""The calls in the other columns of the migration pages exist in the real packages.

The services' packages need other versions of half of our environment, so their source is read, not
imported: signatures, options and routes.
"""

from __future__ import annotations

import ast
import inspect
import re
import shlex
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import clip_benchmark.cli
import pytest
import transformers
from environments import ROOT, environment
from open_clip_train.params import parse_args

PINS = """
    clip-client==0.8.3 clip-retrieval==2.45.0 clip-server==0.8.3 docarray==0.21.1
    infinity-emb==0.0.78 infinity_client==0.0.78 prometheus-fastapi-instrumentator==8.1.0
""".split()
PAGE = (ROOT / "docs" / "migration-services.md").read_text(encoding="utf-8")
FROM_TRANSFORMERS = (ROOT / "docs" / "migration.md").read_text(encoding="utf-8")
CLASSES = {
    "AsyncEmbeddingEngine": "infinity_emb/engine.py",
    "Client": "clip_client/client.py",
    "ClipClient": "clip_retrieval/clip_client.py",
    "Document": "docarray/document/data.py",
    "EngineArgs": "infinity_emb/args.py",
}
CLIENTS = {"clip-as-service": "Client", "clip-retrieval": "ClipClient"}
COMMANDS = {
    "infinity_emb v2": ("infinity_emb/cli.py", "v2"),
    "clip-retrieval back": ("clip_retrieval/clip_back.py", "clip_back"),
    "clip-retrieval filter": ("clip_retrieval/clip_filter.py", "clip_filter"),
    "clip-retrieval index": ("clip_retrieval/clip_index.py", "clip_index"),
    "clip-retrieval inference": ("clip_retrieval/clip_inference/main.py", "main"),
}
ANY_COMMAND = {"infinity": "infinity_emb v2", "clip-retrieval": "clip-retrieval inference"}
"""The command whose options a service's rows give alone."""


def spans() -> Iterator[tuple[str, str]]:
    """Yield each code of the middle columns with the service whose table it is in."""
    for section in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]:
        for row in re.findall(r"^\| \w.*? \| (.*?) \| .* \|$", section, re.MULTILINE):
            yield from ((section.split("\n")[0], code) for code in re.findall(r"`([^`]+)`", row))


@cache
def packages() -> Path:
    (folder,) = environment("other-services", PINS).parents[1].glob("lib/*/site-packages")
    return folder


def source(file: str) -> str:
    return (packages() / file).read_text(encoding="utf-8")


def signature(file: str, *names: str) -> inspect.Signature:
    """Return what a function, a method, a class or a dataclass takes."""
    node: ast.AST = ast.parse(source(file))
    for name in names:
        kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        found = [n for n in ast.walk(node) if isinstance(n, kinds) and n.name == name]
        assert found, f"{file} has no {name}"
        node = found[-1]  # those before are overloads
    if isinstance(node, ast.ClassDef):
        if "__init__" in (getattr(each, "name", "") for each in node.body):
            return signature(file, *names, "__init__")
        fields = [each.target.id for each in node.body if isinstance(each, ast.AnnAssign)]
        kind = inspect.Parameter.KEYWORD_ONLY
        return inspect.Signature([inspect.Parameter(field, kind) for field in fields])
    for each in ast.walk(node.args):
        if isinstance(each, ast.arg):
            each.annotation = None
    nothing = ast.Constant(None)
    node.args.defaults = [nothing for _ in node.args.defaults]
    node.args.kw_defaults = [each and nothing for each in node.args.kw_defaults]
    return inspect.signature(eval(f"lambda {ast.unparse(node.args)}: None"))


def check_call(code: str, client: str | None) -> None:
    """Bind every call in an expression to the signature in the source."""
    tree = ast.parse(code.removeprefix("await "), mode="eval")
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert calls
    for call in calls:
        names = ast.unparse(call.func).replace("client", client or "client").split(".")
        taken = signature(
            CLASSES[names[0]], *("DocumentData" if name == "Document" else name for name in names)
        )
        given = call.args + [None] * (next(iter(taken.parameters), "") in ("self", "cls"))
        taken.bind_partial(*given, **{keyword.arg: None for keyword in call.keywords})


def check_options(command: str, words: list[str]) -> None:
    taken = signature(*COMMANDS[command]).parameters
    for option in (word for word in words if word.startswith("--")):
        assert option[2:].replace("-", "_") in taken, f"{command} has no {option}"
        assert command.startswith("clip-retrieval") or "_" not in option


def routes(service: str) -> set[str]:
    """Return the calls by HTTP of a server, infinity's with the prefix of the page."""
    if service == "clip-retrieval":
        text = source("clip_retrieval/clip_back.py")
        found = re.findall(r'add_resource\(\s*(\w+),\s*"([^"]+)"', text)
        resources = re.split(r"^class (\w+)\(Resource\)", text, flags=re.MULTILINE)
        bodies = dict(zip(resources[1::2], resources[2::2], strict=True))
        return {f"POST {path}" for name, path in found if "def post(self)" in bodies[name]}
    text = source("infinity_emb/infinity_server.py")
    found = re.findall(r'@app\.(get|post)\(\s*f?"([^"]+)"', text)
    metrics = source("prometheus_fastapi_instrumentator/instrumentation.py")
    assert "instrumentator.expose(app)" in text
    assert 'endpoint: str = "/metrics"' in metrics
    prefixed = {f"{kind.upper()} {path.replace('{url_prefix}', '/v1')}" for kind, path in found}
    return prefixed | {"GET /metrics"}


@pytest.mark.parametrize(("service", "code"), spans())
def test_call_exists_in_the_other_service(service, code):
    if code.startswith("--"):
        check_options(ANY_COMMAND[service], shlex.split(code))
    elif code.startswith(tuple(COMMANDS)):
        (command,) = (each for each in COMMANDS if code.startswith(each))
        check_options(command, shlex.split(code))
        program, name = command.split()
        registered = source(f"{program.replace('-', '_')}/cli.py")
        assert f'"{name}": ' in registered or f'command("{name}")' in registered
    elif re.match("(GET|POST) ", code):
        assert code in routes(service)
    elif field := re.fullmatch(r'"(\w+)": (.*)', code):
        assert re.search(
            rf"^    {field[1]}: ", source("infinity_emb/fastapi_schemas/pymodels.py"), re.M
        )
        if word := re.fullmatch('"(\\w+)"', field[2]):
            assert re.search(
                rf'^    {word[1]} = "{word[1]}"', source("infinity_emb/primitives.py"), re.M
            )
    elif "(" in code:
        check_call(code, CLIENTS.get(service))
    else:
        module = code.removeprefix("python -m ")
        assert (packages() / module / "__init__.py").is_file()
        assert module == code or (packages() / module / "__main__.py").is_file()


def test_each_table_is_read():
    services = [service for service, _ in spans()]
    assert {*services} == {"infinity", "clip-as-service", "clip-retrieval"}
    assert len(services) > 30


def test_strategies_of_clip_retrieval_exist():
    text = source("clip_retrieval/clip_inference/main.py")
    assert 'distribution_strategy == "slurm"' in text
    assert 'distribution_strategy == "pyspark"' in text
    assert 'input_format == "webdataset"' in text


def test_flow_of_clip_as_service_has_the_port():
    flow = source("clip_server/torch-flow.yml")
    assert "port: 51000" in flow
    assert "replicas: " in flow


def test_commands_of_open_clip_are_parsed(monkeypatch):
    code = re.findall(r"`(python -m open_clip_train.*?|clip_benchmark .*?)`", FROM_TRANSFORMERS)
    train, evaluate = (shlex.split(each) for each in code)
    assert parse_args(train[3:]).csv_separator == ","
    monkeypatch.setattr(sys, "argv", evaluate)
    assert clip_benchmark.cli.get_parser_args()[1].which == "eval"


def test_names_of_transformers_exist():
    """And those that the page calls transformers 4's do not."""
    _, names, *_ = re.split("^## ", FROM_TRANSFORMERS, flags=re.MULTILINE)
    assert names.startswith("Names in transformers' documents")
    cells = " ".join(re.findall(r"^\| (.*?) \|", names, re.MULTILINE))
    model = transformers.AlignModel
    known = {
        *dir(transformers),
        *dir(model),
        *transformers.utils.TransformersKwargs.__annotations__,
    }
    for method in (model.forward, transformers.AlignTextModel.forward, model.save_pretrained):
        known |= inspect.signature(method).parameters.keys()
    found = re.findall(r"(transformers 4's )?`(?:AlignConfig\.)?(\w+)`", cells)
    assert len(found) > 20
    for old, name in found:
        assert (name in known) == (not old), name
    assert "`transformers download`" in cells
    commands = Path(transformers.__file__).parent / "cli" / "transformers.py"
    assert "app.command()(download)" in commands.read_text()
