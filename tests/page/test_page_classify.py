"""The view that classifies, as a user sees it."""

import re
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import expect

LABELS = ["a red star", "a green ring", "the digit three"]


def question(image="example:red-star", labels=LABELS, **fields):
    pairs = [("image", image), *(("label", each) for each in labels), *fields.items()]
    return "#/classify?" + "&".join(f"{name}={quote(value)}" for name, value in pairs)


@pytest.fixture
def tab(visit):
    return visit(question())


def file_field(page):
    return page.get_by_label("Image file")


def labels_field(page):
    return page.get_by_label("Labels, one a line")


def test_first_visit_shows_an_answer(visit):
    assert visit().best() == "a red star"


@pytest.mark.parametrize(
    ("name", "label"), [("green-ring", "a green ring"), ("digit-3", "the digit three")]
)
def test_chosen_file_is_classified(tab, sample, name, label):
    file_field(tab.page).set_input_files(sample(name))
    tab.expect_best(label)


def test_example_is_classified(tab):
    tab.page.get_by_title("green-ring").click()
    tab.expect_best("a green ring")


# A file that the page gets as a drop or from the clipboard.
GIVE = """async ([kind, bytes]) => {
    const file = new File([new Uint8Array(bytes)], "given.png", {type: "image/png"});
    const data = new DataTransfer();
    data.items.add(file);
    const event = kind === "drop"
        ? new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true})
        : new ClipboardEvent("paste", {clipboardData: data, bubbles: true, cancelable: true});
    document.querySelector(kind === "drop" ? ".stage" : "body").dispatchEvent(event);
}"""


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_given_image_is_classified(tab, sample, kind):
    tab.page.evaluate(GIVE, [kind, list(Path(sample("green-ring")).read_bytes())])
    tab.expect_best("a green ring")


def test_photo_of_the_camera_is_classified(tab):
    tab.page.get_by_role("button", name="Camera").click()
    tab.page.get_by_role("button", name="Take the photo").click()
    expect(tab.page.get_by_alt_text("The image photo-1.png")).to_be_visible()
    expect(tab.page.get_by_role("dialog")).to_have_count(0)


def test_edited_labels_are_asked_about(tab):
    labels_field(tab.page).fill("ring\nstar, red\n\n  star, red ")
    tab.expect_best("star, red")
    expect(tab.page.locator(".bars li")).to_have_count(2)


def test_label_set_is_taken(tab):
    tab.page.get_by_label("Label set").select_option("Handwritten digits")
    tab.page.get_by_title("digit-6").click()
    tab.expect_best("the digit six")


@pytest.mark.parametrize(
    ("written", "sent"),
    [("a photo of {}", "a photo of {}"), ("{}\n\na photo of {}", ["{}", "a photo of {}"])],
    ids=["one", "several"],
)
def test_prompts_are_sent(tab, written, sent):
    with tab.page.expect_request(lambda each: (each.post_data_json or {}).get("template")) as asked:
        tab.page.get_by_label("Prompts, one a line").fill(written)
    assert asked.value.post_data_json["template"] == sent
    tab.expect_best("a red star")


def test_prompt_set_of_the_page_is_taken(tab):
    tab.page.get_by_label("Prompt set").select_option("Drawings")
    field = tab.page.get_by_label("Prompts, one a line")
    assert field.input_value().splitlines()[0] == "a drawing of {}"
    field.fill("a map of {}")
    expect(tab.page.get_by_label("Prompt set")).to_have_value("")


def test_prompt_set_of_the_library_goes_by_name(tab, visit):
    with tab.page.expect_request(lambda each: (each.post_data_json or {}).get("prompts")) as asked:
        tab.page.get_by_label("Prompt set").select_option("CLIP's 80 for ImageNet")
    assert asked.value.post_data_json["prompts"] == "imagenet"
    expect(tab.page.get_by_label("Prompts, one a line")).to_be_hidden()
    again = visit(tab.page.url.removeprefix(f"{tab.address}/"))
    again.expect_best("a red star")
    expect(again.page.get_by_label("Prompt set")).to_have_value("CLIP's 80 for ImageNet")
    assert again.calls("/v1/classify")[0].post_data_json["prompts"] == "imagenet"


def test_none_of_these_is_a_further_label(tab):
    tab.page.get_by_label("None of these", exact=True).check()
    expect(tab.page.locator(".bars .name", has_text="something else")).to_be_visible()


def test_address_brings_the_question_back(tab, visit):
    tab.page.get_by_title("digit-3").click()
    labels_field(tab.page).fill("the digit three\na ring & a star")
    tab.page.get_by_label("Prompts, one a line").fill("{}\n{}, a drawing")
    tab.page.get_by_label("None of these", exact=True).check()
    expect(tab.page.locator(".bars li")).to_have_count(3)
    again = visit(tab.page.url.removeprefix(f"{tab.address}/"))
    again.expect_best("the digit three")
    assert labels_field(again.page).input_value() == "the digit three\na ring & a star"
    assert again.page.get_by_label("Prompts, one a line").input_value() == "{}\n{}, a drawing"
    assert again.page.get_by_label("None of these", exact=True).is_checked()


def test_back_button_brings_the_question_back(tab):
    tab.expect_best("a red star")
    tab.page.get_by_title("green-ring").click()
    tab.expect_best("a green ring")
    tab.page.go_back()
    tab.expect_best("a red star")
    tab.page.go_forward()
    tab.expect_best("a green ring")


def test_address_of_a_lost_image_says_so(visit):
    tab = visit(question("file:1:mine.png"))
    expect(tab.page.get_by_role("alert").first).to_contain_text("Give it again")


def test_unreadable_image_shows_the_words_of_the_service(tab, unreadable):
    file_field(tab.page).set_input_files(unreadable)
    alert = tab.page.locator(".problem")
    expect(alert).to_contain_text("Images[0]: ")
    expect(tab.page.locator(".bars li")).to_have_count(0)
    tab.page.get_by_title("green-ring").click()
    tab.expect_best("a green ring")
    expect(alert).to_be_hidden()


def test_thousand_labels_are_answered(tab):
    labels = [f"a thing of kind {i}" for i in range(999)]
    # Chromium itself takes seconds of CPU to write a thousand lines.
    labels_field(tab.page).fill("\n".join([*labels, "a red star"]))
    tab.expect_best("a red star")
    expect(tab.page.locator(".bars li")).to_have_count(12)
    tab.page.get_by_role("button", name="Show all 1000").click()
    expect(tab.page.locator(".bars li")).to_have_count(1000)


def test_double_click_leaves_one_request(tab):
    tab.best()
    held = []
    tab.page.route(
        "**/v1/classify", lambda route: route.continue_() if held else held.append(route)
    )
    failed = tab.page.expect_event("requestfailed")
    with failed as first, tab.page.expect_response("**/v1/classify"):
        tab.page.get_by_role("button", name="Classify", exact=True).dblclick()
    assert first.value == held[0].request
    tab.expect_best("a red star")


def test_two_tabs_have_questions_of_their_own(visit):
    first = visit(question("example:green-ring"))
    second = visit(question("example:digit-3"))
    second.expect_best("the digit three")
    first.expect_best("a green ring")


def test_code_opens_with_both_forms(tab):
    tab.best()
    tab.page.get_by_role("button", name="As code").click()
    code = tab.page.get_by_label("The request")
    expect(code).to_contain_text("curl -s")
    tab.page.get_by_role("button", name="Python").click()
    expect(code).to_contain_text(re.compile(r"urllib\.request\.urlopen"))
