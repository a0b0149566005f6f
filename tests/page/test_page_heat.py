"""The heat map of a label: where in the image it is seen."""

from urllib.parse import quote

import pytest
from playwright.sync_api import expect

import align_zoo

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


ORANGE_AND_BLUE = """canvas => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let [orange, blue] = [0, 0];
    for (let i = 0; i < data.length; i += 4) {
        if (data[i + 3] < 100) continue;
        if (data[i] > data[i + 2] + 40) orange++;
        if (data[i + 2] > data[i] + 40) blue++;
    }
    return [orange, blue];
}"""


@pytest.mark.parametrize(
    ("label", "other"),
    [("a red star", "a green ring"), ("a green ring", "a red star")],
    ids=["of-the-image", "of-another-image"],
)
def test_labels_are_compared(tab, visit, sample, label, other):
    tab.page.get_by_label("Compare with").select_option(other)
    encoder = align_zoo.load_encoder("align_tiny")
    heat = align_zoo.heatmap(encoder, sample("red-star"), label, against=other)
    for page in (tab, visit(tab.page.url.removeprefix(f"{tab.address}/"))):
        bar(page, label).hover()
        hint = page.page.locator("#heat-hint")
        expect(hint).to_contain_text(f"Orange speaks for “{label}”, blue for “{other}”")
        expect(hint).to_contain_text(f"cosines, {heat.score:.3f}, divided")
        orange, blue = page.page.locator(HEATED).evaluate(ORANGE_AND_BLUE)
        assert (orange > blue) == (heat.score > 0)


def test_compared_label_itself_is_shown_alone(tab):
    tab.page.get_by_label("Compare with").select_option("a green ring")
    bar(tab, "a green ring").hover()
    expect(tab.page.locator("#heat-hint")).to_contain_text("Where “a green ring” is seen")


def test_label_that_is_gone_is_not_compared_with(tab):
    tab.page.get_by_label("Compare with").select_option("a green ring")
    tab.page.get_by_label("Labels, one a line").fill("a red star\na cross")
    expect(tab.page.locator(".bars .name", has_text="a cross")).to_be_visible()
    expect(tab.page.get_by_label("Compare with")).to_have_value("")
    assert "against" not in tab.page.url


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
