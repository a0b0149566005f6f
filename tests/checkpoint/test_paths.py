"""``~`` is a home wherever a file or a folder is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from align_zoo import AlignZooError, CheckpointError, create_align
from align_zoo.checkpoint.paths import at_home
from align_zoo.formats.convert import convert
from align_zoo.serving.triton.command import ServeOptions, absolute_model, environment
from align_zoo.serving.triton.find import TritonServer
from align_zoo.training.errors import TrainingError
from align_zoo.training.finetune import open_pairs

NOWHERE = "~nosuchuser/align"
LONG = "a" * 300


def test_only_a_leading_tilde_is_a_home(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ann")
    assert at_home("~/align") == Path("/home/ann/align")
    for name in ("align", "a/~/b", "a~", Path("/x/~")):
        assert at_home(name) == Path(name)


@pytest.mark.parametrize(
    ("use", "kind"),
    [
        (at_home, AlignZooError),
        (create_align, CheckpointError),
        (lambda name: convert(name, "new", "hf"), CheckpointError),
        (lambda name: convert("align_tiny", name, "hf"), CheckpointError),
        (absolute_model, AlignZooError),
        (lambda name: open_pairs(f"{name}.csv"), TrainingError),
        (lambda name: open_pairs(f"{name}/{{0..9}}.tar"), TrainingError),
    ],
    ids=["at_home", "create_align", "source", "target", "serve", "csv", "tar"],
)
def test_missing_home_is_named(use, kind):
    with pytest.raises(kind, match=r"^~nosuchuser/.* no home that ~nosuchuser is short for"):
        use(NOWHERE)


@pytest.mark.parametrize("name", ["XDG_CACHE_HOME", "HF_HOME", "HF_HUB_CACHE"])
def test_environment_variable_may_name_a_home_folder(name, monkeypatch):
    monkeypatch.setenv("HOME", "/home/ann")
    server, options = TritonServer(Path("tritonserver")), ServeOptions(model="align_tiny")
    assert environment(server, options, {name: "~/x"})[name] == "/home/ann/x"
    with pytest.raises(AlignZooError, match=NOWHERE):
        environment(server, options, {name: NOWHERE})


@pytest.mark.parametrize(
    "use",
    [
        create_align,
        lambda name: convert(name, "new", "hf"),
        lambda name: convert("align_tiny", name, "hf"),
        absolute_model,
    ],
    ids=["create_align", "source", "target", "serve"],
)
def test_name_refused_by_the_system_is_named(use):
    with pytest.raises(AlignZooError, match=rf"^{LONG} cannot be (used|opened): .*too long"):
        use(LONG)
