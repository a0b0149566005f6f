"""`align-zoo serve` as the tests run it: folders of its own, and what it says of itself."""

import json
import re
import subprocess
import tempfile
import urllib.request
from contextlib import contextmanager
from pathlib import Path

from service import Service

SHARED_MEMORY = Path("/dev/shm")


@contextmanager
def serving(folder, *flags, model="align_tiny", start=True):
    """A service with a temporary folder of its own at ``tmp``; none of it is left afterwards."""
    # Not pytest's: its path is too long for sockets.
    with tempfile.TemporaryDirectory(prefix="zoo") as place:
        service = Service(str(model), folder / "log", *flags, env={"TMPDIR": place})
        service.tmp = Path(place)
        try:
            if start:
                service.start()
            yield service
        finally:
            if not service.ended():
                service.process.terminate()
                try:
                    service.process.wait(60)
                except subprocess.TimeoutExpired:
                    service.process.kill()
                    raise


def begin(service):
    """Start it without waiting for anything."""
    with service.log.open("ab") as log:
        service.process = subprocess.Popen(
            service.command, env=service.env, stdout=log, stderr=subprocess.STDOUT
        )


def events(service, name):
    """What the log has under a name, in order."""
    lines = [line for line in service.log.read_text().splitlines() if line.startswith("{")]
    return [each for each in map(json.loads, lines) if each["event"] == name]


def shared_memory(service):
    """The names in /dev/shm that belong to it, now or before it died."""
    return [path for owner in owners(service) for path in SHARED_MEMORY.glob(f"align_zoo_{owner}*")]


def owners(service):
    """What its names in /dev/shm have in them, from all that its log says."""
    return set(re.findall(r"align-zoo-run-([0-9a-f]{12})", service.log.read_text()))


def restarts(service, cause):
    """How many the metrics have counted."""
    with urllib.request.urlopen(service.metrics) as answer:
        text = answer.read().decode()
    found = re.search(rf'^align_zoo_restarts_total{{cause="{cause}"}} (\S+)', text, re.MULTILINE)
    return float(found[1]) if found else 0.0
