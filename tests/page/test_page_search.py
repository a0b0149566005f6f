"""The view that searches a collection, as a user sees it."""

from playwright.sync_api import expect

STAR = "#/search?q=a%20star"


def names(tab):
    expect(tab.page.locator(".hit img").first).to_be_visible()
    return tab.page.locator(".hit .path").all_inner_texts()


def ask(tab, words):
    tab.page.get_by_label("What to search for").fill(words)
    tab.page.get_by_role("button", name="Search", exact=True).click()


def test_words_find_images(visit):
    assert names(visit(STAR))[0] in ("0038.png", "0038-copy.png")


def test_image_finds_those_like_it(visit, sample):
    tab = visit("#/search")
    tab.page.get_by_label("Image file").set_input_files(sample("green-ring"))
    assert names(tab)[0] == "green-ring.png"


def test_more_like_this_asks_by_the_image(visit):
    tab = visit(STAR)
    names(tab)
    tab.page.get_by_role("button", name="More like 0022.png").click()
    expect(tab.page.get_by_label("What to search for")).to_have_value("")
    expect(tab.page.locator(".hit .path").first).to_have_text("0022.png")
    tab.page.go_back()
    expect(tab.page.get_by_label("What to search for")).to_have_value("a star")


def test_dragged_hit_becomes_a_term(visit):
    tab = visit(STAR)
    names(tab)
    hit = tab.page.locator(".hit", has_text="0022.png").first
    hit.drag_to(tab.page.get_by_role("search"))
    expect(tab.page.get_by_role("button", name="0022.png is wanted")).to_be_visible()


def test_image_can_be_unwanted(visit):
    tab = visit("#/search?q=a%20star&image=%2Bexample:red-star")
    names(tab)
    with tab.page.expect_request("**/v1/search") as asked:
        tab.page.get_by_role("button", name="red-star.png is wanted").click()
    assert asked.value.post_data_json["images"][0]["weight"] == -1
    expect(tab.page.get_by_role("button", name="red-star.png is not wanted")).to_be_visible()


def test_difference_leaves_its_colour_last(visit):
    tab = visit("#/search?q=a%20star%20-%20red&all=1&each=1")
    found = names(tab)
    assert "red-star.png" not in found[:5]


def test_near_duplicates_are_folded(visit):
    tab = visit(STAR)
    assert sum(name.startswith("0038") for name in names(tab)) == 1
    expect(tab.page.locator(".copies")).to_have_text("and 1 copy")
    tab.page.get_by_text("Filters").click()
    tab.page.get_by_label("Show of near-duplicates one alone").uncheck()
    expect(tab.page.locator(".hit .path", has_text="0038-copy.png")).to_be_visible()


def test_filters_hold(visit):
    tab = visit(STAR)
    names(tab)
    tab.page.get_by_text("Filters").click()
    tab.page.get_by_label("Path contains").fill("ALBUM/0038.")
    tab.page.get_by_label("Path contains").press("Enter")
    expect(tab.page.locator(".hit")).to_have_count(1)
    tab.page.get_by_label("Wider than").fill("5000")
    tab.page.get_by_label("Wider than").press("Enter")
    expect(tab.page.get_by_text("No image fits the filters.")).to_be_visible()


def test_bad_condition_is_explained(visit):
    tab = visit(f"{STAR}&sql=nonsense%20%3E%201")
    expect(tab.page.locator(".problem")).to_contain_text("nonsense")


def test_nothing_matches_is_said_kindly(visit):
    tab = visit("#/search?q=the%20digit%20eight")
    expect(tab.page.get_by_text("Nothing here matches “the digit eight”.")).to_be_visible()
    tab.page.get_by_role("button", name="Show the nearest images").click()
    assert names(tab)


def test_address_brings_the_search_back(visit):
    tab = visit("#/search")
    ask(tab, "a star - red")
    found = names(tab)
    again = visit(tab.page.url.removeprefix(f"{tab.address}/"))
    assert names(again) == found


def test_empty_search_says_how(visit):
    tab = visit("#/search")
    expect(tab.page.get_by_text("Say what to look for")).to_be_visible()
