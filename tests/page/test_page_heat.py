"""The heat map of a label: where in the image it is seen."""

from urllib.parse import quote

import pytest
from playwright.sync_api import expect

HEATED = ".stage.heated canvas"
COLOURED = """canvas => [...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height)
    .data].some((value, i) => i % 4 === 3 && value > 0)"""


@pytest.fixture
def tab(visit):
    tab = visit("#/classify?image=example:red-star&label=a%20red%20star&label=a%20green%20ring")
    tab.best()
    return tab


def bar(tab, label):
    return tab.page.locator(".bars button", has_text=label)


@pytest.mark.parametrize("way", ["hover", "focus"])
def test_label_shows_its_heat_map(tab, way):
    getattr(bar(tab, "a red star"), way)()
    expect(tab.page.locator(HEATED)).to_be_visible()
    expect(tab.page.locator("#heat-hint")).to_contain_text("a red star")
    assert tab.page.locator(HEATED).evaluate(COLOURED)


@pytest.mark.parametrize(
    "prompts", [{"template": ["{}", "a photo of {}"]}, {"prompts": "imagenet"}], ids=["own", "set"]
)
def test_heat_map_is_of_the_prompts(visit, prompts):
    ((name, values),) = prompts.items()
    given = "".join(
        f"&{name}={quote(each)}" for each in ([values] if name == "prompts" else values)
    )
    tab = visit(f"#/classify?image=example:red-star&label=star&label=ring&none=a%20dog{given}")
    tab.best()
    for label, texts, options in (("star", {"star", "ring"}, prompts), ("a dog", {"a dog"}, {})):
        bar(tab, label).hover()
        expect(tab.page.locator("#heat-hint")).to_contain_text(label)
        asked = tab.calls("/v1/heatmap")[-1].post_data_json
        assert {*asked["texts"]} == texts
        assert {key: asked[key] for key in asked.keys() & {"template", "prompts"}} == options


def test_heat_map_goes_with_the_pointer(tab):
    bar(tab, "a red star").hover()
    expect(tab.page.locator(HEATED)).to_be_visible()
    tab.page.get_by_role("heading").hover()
    expect(tab.page.locator(HEATED)).to_have_count(0)


def test_press_keeps_the_heat_map(tab):
    bar(tab, "a green ring").click()
    tab.page.get_by_role("heading").hover()
    expect(bar(tab, "a green ring")).to_have_attribute("aria-pressed", "true")
    expect(tab.page.locator(HEATED)).to_be_visible()


def test_labels_shown_are_asked_about_once(tab):
    for label in ("a red star", "a green ring", "a red star"):
        bar(tab, label).hover()
        expect(tab.page.locator("#heat-hint")).to_contain_text(label)
    assert len(tab.calls("/v1/heatmap")) == 1
