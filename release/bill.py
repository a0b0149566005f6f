"""Bills of materials: what an installation of a distribution consists of, in CycloneDX's JSON."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from environments import ADAPTERS
from jsonschema import Draft7Validator
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

__all__ = ["Environment", "faults"]

_DEVELOPMENT = {"docs", "release", "test"}

# The check of an address takes a tenth of a second, and most bills have the same addresses.
_is_iri, _ = Draft7Validator.FORMAT_CHECKER.checkers["iri-reference"]
Draft7Validator.FORMAT_CHECKER.checks("iri-reference")(functools.cache(_is_iri))


class Environment:
    """The packages of one interpreter, and the bills of what is installed there.

    Args:
        python: the interpreter.
        extras: the extras that the bills of this environment cover. By default these are all for
            users that fit into one environment.
    """

    def __init__(self, python: Path | str = sys.executable, *extras: str) -> None:
        command = [sys.executable, "-m", "cyclonedx_py", "environment", str(python)]
        options = ["--output-reproducible", "--no-validate", "--output-file", "-"]
        self._extras = extras
        self._document: dict[str, Any] = json.loads(_output(*command, *options))
        path = _output(python, "-I", "-c", "import json, sys; print(json.dumps(sys.path))")
        self._installed: dict[str, Distribution] = {}
        for each in distributions(path=json.loads(path)):
            # An environment above another can have a package a second time; the first counts.
            self._installed.setdefault(canonicalize_name(each.metadata["Name"]), each)

    def needed(self, name: str) -> dict[str, set[str]]:
        """Return the installed packages that a distribution needs, each with those it needs.

        The first is the distribution itself, with the extras.

        Raises:
            LookupError: a package is not installed.
        """
        waiting = [(name, extra) for extra in self._extras_of(name)]
        found: dict[str, set[str]] = {}
        for package, extra in waiting:
            wanted = self._wanted(package, extra)
            found.setdefault(package, set()).update(each for each, _ in wanted)
            waiting += [each for each in wanted if each not in waiting]
        return found

    def bill(self, name: str, version: str) -> str:
        """Return the bill of one distribution with the extras.

        Raises:
            LookupError: a package is not installed.
        """
        needed = self.needed(name)
        kept = {
            package: self._licensed(package, each)
            for each in self._document["components"]
            if (package := canonicalize_name(each["name"])) in {*needed} - {name}
            and each["version"] == self._installed[package].version
        }
        root = {
            "bom-ref": name,
            "type": "library",
            "name": name,
            "version": version,
            "purl": f"pkg:pypi/{name}@{version}",
            "licenses": [{"license": {"id": "Apache-2.0"}}],
        }
        if self._extras:
            root["description"] = f"installed as {name}[{','.join(self._extras)}]"
        refs = {package: each["bom-ref"] for package, each in {name: root, **kept}.items()}
        edges = [
            {"ref": refs[package], "dependsOn": sorted(refs[each] for each in below - {package})}
            for package, below in needed.items()
        ]
        changed = {
            "metadata": {**self._document["metadata"], "component": root},
            "components": [*kept.values()],
            "dependencies": edges,
        }
        return json.dumps({**self._document, **changed}, indent=2)

    def _licensed(self, package: str, component: dict[str, Any]) -> dict[str, Any]:
        """Return a component with the licence of the field License, which the tool leaves out."""
        declared = (self._installed[package].metadata["License"] or "").partition("\n")[0]
        if component.get("licenses") or not declared:
            return component
        named = {"license": {"acknowledgement": "declared", "name": declared}}
        return {**component, "licenses": [named]}

    def _extras_of(self, name: str) -> list[str]:
        known = self._installed[name].metadata.get_all("Provides-Extra") or []
        return ["", *(self._extras or sorted({*known} - _DEVELOPMENT - {*ADAPTERS}))]

    def _wanted(self, package: str, extra: str) -> list[tuple[str, str]]:
        """Return the packages that one extra of a package adds here, each with its own extras."""
        if package not in self._installed:
            raise LookupError(f"{package} is not installed")
        found = map(Requirement, self._installed[package].requires or [])
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


def _output(*command: Path | str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
