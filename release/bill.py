"""Bills of materials: what an installation of a distribution consists of, in CycloneDX's JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import distribution
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

__all__ = ["bill", "components", "faults", "needed"]

_DEVELOPMENT = {"docs", "release", "test"}
_ELSEWHERE = {"fiftyone", "langchain", "llama-index", "llm", "mteb"}
"""Extras that only environments of their own have: those of the adapters' tests."""


def components() -> dict[str, Any]:
    """Return CycloneDX's document on everything in this environment."""
    command = [sys.executable, "-m", "cyclonedx_py", "environment", sys.executable]
    options = ["--output-reproducible", "--no-validate", "--output-file", "-"]
    done = subprocess.run([*command, *options], check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout)


def needed(name: str) -> set[str]:
    """Return the installed packages that a distribution needs with all extras for its users."""
    waiting = [(name, extra) for extra in _extras(name)]
    for pair in waiting:
        waiting += [each for each in _wanted(*pair) if each not in waiting]
    return {package for package, _ in waiting} - {name}


def bill(document: dict[str, Any], name: str, version: str) -> str:
    """Return the bill of one distribution: what it needs, out of the environment's document."""
    inside = needed(name)
    direct = {package for extra in _extras(name) for package, _ in _wanted(name, extra)}
    kept = [each for each in document["components"] if canonicalize_name(each["name"]) in inside]
    refs = {each["bom-ref"]: canonicalize_name(each["name"]) for each in kept}
    root = {
        "bom-ref": name,
        "type": "library",
        "name": name,
        "version": version,
        "purl": f"pkg:pypi/{name}@{version}",
        "licenses": [{"license": {"id": "Apache-2.0"}}],
    }
    edges = [{"ref": name, "dependsOn": sorted(ref for ref in refs if refs[ref] in direct)}]
    for node in document["dependencies"]:
        if node["ref"] in refs:
            below = [ref for ref in node.get("dependsOn", []) if ref in refs]
            edges.append({"ref": node["ref"], "dependsOn": below})
    metadata = {**document["metadata"], "component": root}
    changed = {"metadata": metadata, "components": kept, "dependencies": edges}
    return json.dumps({**document, **changed}, indent=2)


def _extras(name: str) -> list[str]:
    extras = distribution(name).metadata.get_all("Provides-Extra") or []
    return ["", *sorted({*extras} - _DEVELOPMENT - _ELSEWHERE)]


def _wanted(package: str, extra: str) -> list[tuple[str, str]]:
    """Return the packages that one extra of a package adds here, each with its own extras."""
    found = map(Requirement, distribution(package).requires or [])
    return [
        (canonicalize_name(each.name), inner)
        for each in found
        if each.marker is None or each.marker.evaluate({"extra": extra})
        for inner in ("", *sorted(each.extras))
    ]


def faults(text: str) -> str | None:
    """Return what CycloneDX's schema says against a bill; None if nothing."""
    version = SchemaVersion.from_version(json.loads(text)["specVersion"])
    found = JsonStrictValidator(version).validate_str(text)
    return None if found is None else str(found)
