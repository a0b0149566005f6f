"""The loss over several processes has the value and the gradients of one process's."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
from torch import multiprocessing
from torch.nn.parallel import DistributedDataParallel

import align_zoo
from align_zoo.training.contrastive import ContrastiveLoss

PARTS = (slice(0, 5), slice(5, 8))  # a broken image or two make them unequal


def batch():
    random = torch.Generator().manual_seed(0)
    pixels = torch.randn(8, 3, 49, 49, generator=random)
    return pixels, torch.randint(5, 500, (8, 6), generator=random)


def take_part(rank: int, folder: str) -> None:
    """What each of two processes does; the first one writes what came out."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    model = align_zoo.create_align("align_tiny")[0]
    parallel = DistributedDataParallel(model)
    pixels, ids = batch()
    output = parallel(pixels[PARTS[rank]], ids[PARTS[rank]])
    loss = ContrastiveLoss(5)(output, model.temperature, None)
    loss.backward()
    if rank == 0:
        gradients = {name: p.grad for name, p in model.named_parameters()}
        torch.save((loss.detach(), gradients), f"{folder}/result.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """Loss and gradients of two processes on loopback."""
    folder = tmp_path_factory.mktemp("together")
    multiprocessing.spawn(take_part, (str(folder),), nprocs=2)
    return torch.load(folder / "result.pt")


@pytest.fixture(scope="module")
def alone():
    """Model and ALIGN's own loss of the whole batch in one process, backward done."""
    model = align_zoo.create_align("align_tiny")[0]
    loss = model(*batch(), return_loss=True).loss
    loss.backward()
    return loss.detach(), {name: p.grad for name, p in model.named_parameters()}


def test_the_loss_is_that_of_the_whole_batch(together, alone):
    torch.testing.assert_close(together[0], alone[0], atol=1e-5, rtol=0)


def test_every_gradient_is_that_of_the_whole_batch(together, alone):
    assert together[1].keys() == alone[1].keys()
    for name, gradient in alone[1].items():
        apart = (together[1][name] - gradient).norm()
        assert apart <= 1e-4 * gradient.norm() + 1e-6, name
    assert alone[1]["temperature"].abs() > 1e-2
    assert alone[1]["image.conv_stem.weight"].norm() > 1e-2


def test_one_process_has_aligns_loss(alone):
    model = align_zoo.create_align("align_tiny")[0]
    with torch.inference_mode():
        loss = ContrastiveLoss(8)(model(*batch()), model.temperature, None)
    torch.testing.assert_close(loss, alone[0])
