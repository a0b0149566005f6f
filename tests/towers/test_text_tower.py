"""timm's contract, as far as it makes sense for a text, held by every registered text tower."""

from __future__ import annotations

import pytest
import timm
import torch
from timm.models._manipulate import group_parameters, reinit_non_persistent_buffers
from timm.optim import param_groups_layer_decay, param_groups_weight_decay

import align_zoo
from align_zoo import InvalidInput, InvalidText

NAMES = timm.list_models("align_*_text")
IDS = torch.tensor([[2, 45, 9, 77, 3], [2, 46, 3, 0, 0]])
MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])


def create(name: str, **kwargs):
    torch.manual_seed(0)
    return timm.create_model(name, **kwargs)


@pytest.fixture(scope="module", params=NAMES)
def tower(request):
    """A text tower in eval mode; tests must not change it."""
    return create(request.param).eval()


def test_all_text_towers_are_registered():
    assert set(NAMES) == {"align_base_text", "align_emoji_text", "align_tiny_text"}


def test_forward_is_forward_head_of_forward_features(tower):
    with torch.inference_mode():
        features = tower.forward_features(IDS, MASK)
        assert features.shape == (2, 5, tower.num_features)
        assert torch.equal(tower.forward_head(features), tower(IDS, MASK))
        assert torch.equal(tower.forward_head(features, pre_logits=True), features[:, 0])
        assert tower(IDS, MASK).shape == (2, tower.num_classes)


def test_mask_is_derived_from_the_padding_id(tower):
    with torch.inference_mode():
        assert torch.equal(tower(IDS), tower(IDS, MASK))
        assert not torch.allclose(tower(IDS), tower(IDS, torch.ones_like(MASK)))


def test_another_padding_id_is_honoured():
    tower = create(
        "align_tiny_text",
        config={
            "hidden_size": 64,
            "num_attention_heads": 4,
            "num_hidden_layers": 1,
            "vocab_size": 99,
            "pad_token_id": 7,
        },
    ).eval()
    ids = torch.where(MASK.bool(), IDS, 7)
    with torch.inference_mode():
        assert torch.equal(tower(ids), tower(ids, MASK))


@pytest.mark.parametrize("name", NAMES)
def test_backward_reaches_every_parameter(name):
    tower = create(name, num_classes=42).train()
    tower(IDS).mean().backward()
    for parameter, value in tower.named_parameters():
        assert value.grad is not None, parameter
        assert value.grad.isfinite().all(), parameter


@pytest.mark.parametrize("name", NAMES)
def test_reset_classifier_gives_a_fresh_head_or_none(name):
    tower = create(name).eval()
    with torch.inference_mode():
        tower.reset_classifier(11)
        assert tower.num_classes == tower.get_classifier().out_features == 11
        assert tower(IDS).shape == (2, 11)
        tower.reset_classifier(0)
        assert torch.equal(tower(IDS), tower.forward_features(IDS)[:, 0])


def test_no_classes_give_berts_first_token():
    bare = create("align_tiny_text", pretrained=True, num_classes=0).eval()
    whole = create("align_tiny_text", pretrained=True).eval()
    with torch.inference_mode():
        assert torch.equal(whole.head(bare(IDS)), whole(IDS))


def test_drop_rate_drops_in_training_alone():
    tower = create("align_tiny_text", pretrained=True, drop_rate=0.5)
    with torch.no_grad():
        tower.train()
        assert not torch.equal(tower(IDS), tower(IDS))
        tower.eval()
        assert torch.equal(tower(IDS), tower(IDS))


def test_the_last_intermediate_is_forward_features(tower):
    with torch.inference_mode():
        final, intermediates = tower.forward_intermediates(IDS)
        assert torch.equal(final, tower.forward_features(IDS))
        assert torch.equal(final, intermediates[-1])
    assert len(intermediates) == tower.config.num_hidden_layers == len(tower.feature_info)
    assert all(x.shape[-1] == tower.feature_info[0]["num_chs"] for x in intermediates)


def test_intermediates_can_be_chosen_and_stop_early(tower):
    calls = []
    layers = tower.bert.encoder.layer
    hooks = [layer.register_forward_hook(lambda *_: calls.append(1)) for layer in layers]
    with torch.inference_mode():
        every = tower.forward_intermediates(IDS, MASK, intermediates_only=True)
        assert len(calls) == len(layers)
        calls.clear()
        (first,) = tower.forward_intermediates(
            IDS, MASK, indices=[0], stop_early=True, intermediates_only=True
        )
    for hook in hooks:
        hook.remove()
    assert torch.equal(first, every[0])
    assert len(calls) == 1


def test_another_output_format_is_refused(tower):
    with pytest.raises(ValueError, match="NCHW"):
        tower.forward_intermediates(IDS, output_fmt="NCHW")


@pytest.mark.parametrize("name", NAMES)
def test_pruned_layers_give_the_same_intermediates(name):
    tower = create(name).eval()
    with torch.inference_mode():
        before = tower.forward_intermediates(IDS, indices=[0], intermediates_only=True)
        assert tower.prune_intermediate_layers([0]) == [0]
        after = tower.forward_intermediates(IDS, intermediates_only=True)
    assert len(after) == 1
    assert torch.equal(before[0], after[0])


@pytest.mark.parametrize("name", NAMES)
def test_tower_is_created_on_the_device_and_dtype(name):
    tower = create(name, device="meta", dtype=torch.bfloat16)
    kinds = {(each.device.type, each.dtype) for each in tower.parameters()}
    assert kinds == {("meta", torch.bfloat16)}


def test_tower_from_the_meta_device_answers_equally():
    tower = create("align_tiny_text", device="meta").eval()
    whole = create("align_tiny_text", pretrained=True).eval()
    tower.to_empty(device="cpu")
    for buffer in tower.buffers():
        buffer.fill_(7)
    tower.load_state_dict(whole.state_dict())
    reinit_non_persistent_buffers(tower)
    with torch.inference_mode():
        assert torch.equal(tower(IDS), whole(IDS))


def test_features_only_is_refused_and_names_forward_intermediates():
    with pytest.raises(InvalidInput, match="forward_intermediates"):
        create("align_tiny_text", features_only=True)


def test_pretrained_weights_are_loaded_in_the_given_dtype():
    half = create("align_tiny_text", pretrained=True, dtype=torch.bfloat16).eval()
    whole = create("align_tiny_text", pretrained=True).eval()
    for name, parameter in half.named_parameters():
        assert torch.equal(parameter, whole.get_parameter(name).bfloat16())
    with torch.inference_mode():
        assert half(IDS).dtype == torch.bfloat16


@pytest.mark.parametrize("name", NAMES)
def test_tensors_without_values_go_through_for_their_shapes(name):
    tower = create(name, device="meta").eval()
    mask = torch.ones_like(IDS, device="meta")
    assert tower(IDS.to("meta")).shape == (len(IDS), tower.num_classes)
    assert tower(IDS.to("meta"), mask).device.type == "meta"
    with pytest.raises(InvalidText, match="positions"):
        tower(torch.ones(1, 1_000, dtype=torch.long, device="meta"))


@pytest.mark.parametrize("name", NAMES)
def test_gradient_checkpointing_changes_no_gradient(name):
    config = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    if name == "align_tiny_text":
        config |= {"hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2}
    tower = create(name, config=config).train()
    gradients, computed = [], []
    first = tower.bert.encoder.layer[0].attention
    hook = first.register_forward_hook(lambda *_: computed.append(1))
    for enable in (False, True):
        tower.set_grad_checkpointing(enable)
        tower.zero_grad()
        computed.clear()
        tower(IDS).square().mean().backward()
        assert len(computed) == 1 + enable  # once more in the backward pass
        gradients.append([p.grad.clone() for p in tower.parameters()])
    hook.remove()
    for plain, checkpointed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, checkpointed)


def test_group_matcher_orders_every_parameter_by_depth(tower):
    groups = group_parameters(tower, tower.group_matcher())
    assert sorted(n for names in groups.values() for n in names) == sorted(
        name for name, _ in tower.named_parameters()
    )
    layers = tower.config.num_hidden_layers
    assert len(groups) == layers + 2  # embeddings, layers, head
    assert all(name.startswith("bert.embeddings") for name in groups[0])
    assert set(groups[layers + 1]) == {"head.weight", "head.bias"}


def test_timms_optimizers_spare_what_should_not_decay(tower):
    names = {id(p): name for name, p in tower.named_parameters()}
    assert tower.no_weight_decay() <= set(names.values())
    groups = param_groups_weight_decay(
        tower, weight_decay=0.05, no_weight_decay_list=tower.no_weight_decay()
    )
    spared = {names[id(p)] for g in groups if g["weight_decay"] == 0 for p in g["params"]}
    assert tower.no_weight_decay() <= spared
    assert "bert.embeddings.LayerNorm.weight" in spared
    assert "head.weight" not in spared
    layered = param_groups_layer_decay(tower, weight_decay=0.05, layer_decay=0.7)
    assert sum(len(g["params"]) for g in layered) == len(names)


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        (torch.tensor([[2, 99_999, 3]]), "token id 99999 is not in the vocabulary"),
        (torch.tensor([[2, -1, 3]]), "token id -1"),
        (torch.ones(1, 513, dtype=torch.long), "513 tokens"),
        (torch.ones(3, dtype=torch.long), "[N, L]"),
        (torch.ones(1, 0, dtype=torch.long), "[N, L]"),
        (torch.ones(1, 3), "torch.float32, not torch.int64"),
    ],
    ids=["beyond the vocabulary", "negative", "too long", "one row", "empty", "no whole numbers"],
)
def test_ids_that_do_not_fit_are_refused(tower, ids, words):
    with pytest.raises(align_zoo.InvalidText) as caught:
        tower(ids)
    assert words in str(caught.value)
    with pytest.raises(align_zoo.InvalidText):
        tower.forward_hidden_states(ids)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"attention_mask": MASK[:1]}, "attention_mask is [1, 5], not [2, 5]"),
        ({"attention_mask": MASK[:, :4]}, "attention_mask is [2, 4], not [2, 5]"),
        ({"attention_mask": torch.ones(2, 64)}, "attention_mask is [2, 64], not [2, 5]"),
        ({"attention_mask": MASK.tolist()}, "attention_mask is a list, not a tensor"),
        ({"token_type_ids": MASK[:, :4]}, "token_type_ids is [2, 4], not [2, 5]"),
        ({"token_type_ids": 2 * MASK}, "token type 2 is none of this model's 2 (type_vocab_size)"),
        ({"token_type_ids": -MASK}, "token type -1"),
    ],
    ids=["one row", "too short", "too long", "a list", "short types", "unknown type", "below 0"],
)
def test_mask_or_types_of_wrong_shape_are_refused(tower, given, words):
    for call in (tower, tower.forward_hidden_states):
        with pytest.raises(InvalidText) as caught:
            call(IDS, **given)
        assert words in str(caught.value)


def test_pairwise_mask_and_one_row_of_types_work(tower):
    pairs = MASK[:, None, None, :].bool()
    types = torch.zeros_like(IDS[:1])
    with torch.inference_mode():
        torch.testing.assert_close(tower(IDS, pairs, types), tower(IDS, MASK))
