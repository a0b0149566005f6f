"""The embedded checkpoint keeps its promises on the shipped images."""

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from transformers import AlignModel, AutoTokenizer, EfficientNetImageProcessorPil

import align_zoo
from align_zoo.checkpoint.folder import EMBEDDED
from align_zoo.emoji.assets import EMBEDDED as IMAGES
from align_zoo.emoji.assets import SIDE, notice
from align_zoo.emoji.packages import CAPTIONS, STYLES

FOLDER = EMBEDDED["align_emoji"]
TEXTS = ["crying cat", "a red apple", "this emoji shows an owl", "xylophones & zygotes"]


@pytest.fixture(scope="module")
def images():
    return sorted(IMAGES.glob("*.png"))


@pytest.fixture(scope="module")
def theirs():
    model, found = AlignModel.from_pretrained(FOLDER, output_loading_info=True)
    assert not any(found.values()), found
    return model.eval()


def test_transformers_gives_equal_answers(theirs, images):
    model, transform, tokenizer = align_zoo.create_align("align_emoji")
    shown = [Image.open(path).convert("RGB") for path in images[::200]]
    pixels = torch.stack([transform(image) for image in shown])
    processor = EfficientNetImageProcessorPil.from_pretrained(FOLDER)
    torch.testing.assert_close(processor(shown, return_tensors="pt")["pixel_values"], pixels)
    ids = AutoTokenizer.from_pretrained(FOLDER)(TEXTS, padding=True, return_tensors="pt")
    with torch.inference_mode():
        ours = model(pixels, tokenizer(TEXTS))
        expected = theirs(**ids, pixel_values=pixels)
    torch.testing.assert_close(ours.image_embeds, expected.image_embeds, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours.text_embeds, expected.text_embeds, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        ours.logits_per_image, expected.logits_per_image, rtol=1e-4, atol=1e-3
    )


@pytest.mark.parametrize("kind", ["image", "text"])
def test_timm_makes_the_towers(kind):
    whole = align_zoo.create_align("align_emoji")[0]
    tower = timm.create_model(f"align_emoji_{kind}", pretrained=True).eval()
    for name, weight in getattr(whole, kind).state_dict().items():
        torch.testing.assert_close(tower.state_dict()[name], weight, rtol=0, atol=0, msg=name)


def test_timm_describes_the_same_transform():
    config = timm.data.resolve_model_data_config(timm.create_model("align_emoji_image"))
    _, transform, _ = align_zoo.create_align("align_emoji")
    assert config["input_size"][1:] == transform.input_size
    assert int(config["input_size"][1] / config["crop_pct"]) == transform.size[0]
    assert transform.input_size[0] % 2 == 1


def test_a_near_name_is_suggested():
    with pytest.raises(align_zoo.CheckpointError, match=r"did you mean align_emoji\?"):
        align_zoo.create_align("align_emojis")


def test_the_folder_is_small():
    files = [path for path in FOLDER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 12_000_000


def test_any_word_has_tokens():
    tokenizer = AutoTokenizer.from_pretrained(FOLDER)
    ids = tokenizer("Zygotes, 1234 (naïvely) & the cat\u2019s xylophones!")["input_ids"]
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.model_max_length == 64


def test_the_shipped_images_find_their_names(images):
    encoder = align_zoo.load_encoder("align_emoji")
    names = [path.stem.replace("-", " ") for path in images]
    cosine = encoder.embed_images(images) @ encoder.embed_texts(names).T
    assert (cosine.argmax(axis=1) == np.arange(len(images))).mean() > 0.85


def test_the_shipped_images_are_small_squares(images):
    assert len(images) == 1653
    assert sum(path.stat().st_size for path in images) <= 5_000_000
    for path in images[::100]:
        with Image.open(path) as image:
            assert image.size == (SIDE, SIDE)
            assert "transparency" not in image.info


def test_the_notice_names_every_set():
    text = (IMAGES / "NOTICE").read_text(encoding="utf-8")
    assert text == notice()
    for package in (*STYLES.values(), CAPTIONS):
        assert f"{package.name} {package.version}" in text
