"""How weights are changed: the schedule, what decays, what is frozen."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import align_zoo
from align_zoo.training.errors import TrainingError
from align_zoo.training.recipe import Recipe


def recipe(**options) -> Recipe:
    known = {"steps": 100, "learning_rate": 1.0, "weight_decay": 0.1, "warmup": 10, "seed": 0}
    return Recipe(**{**known, **options})


@pytest.fixture
def model():
    return align_zoo.create_align("align_tiny")[0]


def test_learning_rate_warms_up_and_decays():
    rates = [recipe().learning_rate_at(step) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == rates[10] == 1.0
    assert rates[55] == pytest.approx(0.5)
    assert rates[100] == pytest.approx(0.0)
    assert sorted(rates[10:], reverse=True) == rates[10:]


def test_a_warm_up_longer_than_training_is_cut():
    assert recipe(steps=4, warmup=100).learning_rate_at(3) == 1.0


def test_biases_norms_and_the_temperature_do_not_decay(model):
    groups = recipe().optimizer(model).param_groups
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert set(decay) == {id(p) for p in model.parameters()}
    for name, parameter in model.named_parameters():
        assert decay[id(parameter)] == (0.1 if parameter.ndim > 1 else 0.0), name


def test_batch_norm_statistics_are_frozen_by_default(model):
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    recipe().set_modes(model)
    assert model.text.training
    assert not any(norm.training for norm in norms)
    assert all(norm.weight.requires_grad for norm in norms)
    recipe(batch_norm="train").set_modes(model)
    assert norms and all(norm.training for norm in norms)


@pytest.mark.parametrize("frozen", ["image", "text"])
def test_frozen_tower_is_not_trained(model, frozen):
    chosen = recipe(freeze=frozen, batch_norm="train")
    groups = chosen.optimizer(model).param_groups
    trained = {id(p) for group in groups for p in group["params"]}
    chosen.set_modes(model)
    for name, parameter in model.named_parameters():
        assert (id(parameter) in trained) != name.startswith(frozen), name
    assert not any(module.training for module in model.get_submodule(frozen).modules())


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("steps", 0),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("weight_decay", -1.0),
        ("warmup", -1),
        ("seed", -1),
        ("freeze", "both"),
        ("batch_norm", "eval"),
    ],
)
def test_impossible_value_is_refused(option, value):
    with pytest.raises(TrainingError, match=f"--{option.replace('_', '-')} is {value}"):
        recipe(**{option: value})


def test_gradient_checkpointing_computes_twice_and_changes_no_gradient(model):
    pixels = torch.randn(3, 3, 49, 49, generator=torch.Generator().manual_seed(0))
    ids = torch.tensor([[2, 50, 60, 3], [2, 70, 80, 3], [2, 90, 100, 3]])
    calls = []
    for module in (model.image.blocks[1][0], model.text.bert.encoder.layer[0].attention):
        module.register_forward_pre_hook(lambda *_: calls.append(1))
    gradients = []
    for checkpointing in (False, True):
        model.set_grad_checkpointing(checkpointing)
        recipe().set_modes(model)
        model.zero_grad()
        model(pixels, ids, return_loss=True).loss.backward()
        gradients.append([p.grad.clone() for p in model.parameters()])
        assert len(calls) == (4 if checkpointing else 2)
        calls.clear()
    for plain, checkpointed in zip(*gradients, strict=True):
        torch.testing.assert_close(checkpointed, plain)
