"""One step of the trainer: how far weights and temperature may go."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from captioned import log_of
from torch import nn

import align_zoo
from align_zoo.training.batches import Batch
from align_zoo.training.contrastive import ContrastiveLoss
from align_zoo.training.errors import TrainingError
from align_zoo.training.recipe import Recipe
from align_zoo.training.trainer import Every, Trainer

RECIPE = Recipe(steps=9, learning_rate=1e-3, weight_decay=0.0, warmup=0, seed=0)


class SameBatch:
    """One batch, whatever the step."""

    def __getitem__(self, step: int) -> Batch:
        random = torch.Generator().manual_seed(0)
        ids = torch.randint(5, 500, (4, 6), generator=random)
        return Batch(torch.randn(4, 3, 49, 49, generator=random), {"input_ids": ids})


@pytest.fixture
def trained(tmp_path):
    """What so many steps make of align_tiny."""

    def train(
        loss,
        *,
        temperature=0.05,
        dropout=0.0,
        steps=1,
        out=tmp_path,
        kind=Accelerator,
        measure=None,
        **options,
    ):
        model = align_zoo.create_align("align_tiny")[0]
        model.temperature.data.fill_(temperature)
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = dropout
        trainer = Trainer(
            model,
            SameBatch(),
            loss,
            replace(RECIPE, **options),
            out=out,
            resume=False,
            decides={},
            accelerator=kind(cpu=True),
        )
        trainer.run(Every(), measure=measure, until=steps)
        return model

    yield train
    AcceleratorState._reset_state(reset_partial_state=True)


def colder(output, temperature, target):
    """A loss that falls with the temperature alone."""
    return temperature + 0 * output.image_embeds.sum() + 0 * output.text_embeds.sum()


def test_gradients_are_clipped_at_norm_1(trained):
    contrastive = ContrastiveLoss(4)
    model = trained(lambda *given: 1000 * contrastive(*given))
    gradients = torch.stack([p.grad.norm() for p in model.parameters() if p.grad is not None])
    assert gradients.norm() == pytest.approx(1, abs=1e-3)


def test_temperature_has_a_tenth_of_the_learning_rate(trained):
    # Adam's first step is the learning rate.
    assert trained(colder).temperature.item() == pytest.approx(0.05 - 1e-4, abs=1e-7)


@pytest.mark.parametrize(("start", "end"), [(0.0102, 0.01), (0.005, 0.005)])
def test_temperature_has_a_lower_limit(trained, start, end):
    model = trained(colder, temperature=start, steps=4)
    assert model.temperature.item() == pytest.approx(end, abs=1e-8)


def test_gradients_are_those_of_one_step(trained):
    model = trained(lambda *given: 0.1 * colder(*given), steps=3)
    assert model.temperature.grad.item() == pytest.approx(0.1)


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_loss_that_is_not_finite_changes_no_weight(trained, value):
    with pytest.raises(TrainingError, match=f"the loss of step 1 is {value}; a smaller"):
        trained(lambda *given: colder(*given) * value)


def test_retrieval_is_measured_in_eval_mode(trained):
    modes = []

    def measure(model):
        training = any(module.training for module in model.modules())
        modes.append((training, torch.is_inference_mode_enabled()))
        return {}

    trained(colder, batch_norm="train", measure=measure)
    assert modes == [(False, True)] * 2


def test_training_ends_with_the_recipe(trained, tmp_path):
    trained(colder, steps=20)
    assert log_of(tmp_path)[-1]["step"] == RECIPE.steps


class SecondProcess(Accelerator):
    process_index = 1


def test_dropout_depends_on_seed_step_and_process(trained, tmp_path):
    def texts(out, *, drawn=0, **options):
        seen = []

        def noted(output, *given):
            seen.append(output.text_embeds.detach())
            torch.rand(drawn)  # as whatever else needs randomness
            return colder(output, *given)  # the weights stay as they are

        trained(noted, dropout=0.1, steps=2, out=tmp_path / out, **options)
        return torch.stack(seen)

    one = texts("one")
    assert torch.equal(texts("again", drawn=5), one)
    others = [one.flip(0), texts("seed", seed=1), texts("process", kind=SecondProcess)]
    for other in others:
        assert not any(map(torch.equal, one, other))


def test_log_has_mean_loss_and_last_learning_rate(trained, tmp_path):
    losses = []

    def noted(*given):
        losses.append(colder(*given))
        return losses[-1]

    trained(noted, steps=3)
    (line,) = log_of(tmp_path)
    assert len(losses) == 3
    assert line["loss"] == pytest.approx(sum(losses).item() / 3, abs=1e-7)
    assert line["loss"] != pytest.approx(losses[-1].item(), abs=1e-5)
    assert line["learning_rate"] == RECIPE.learning_rate_at(2)
