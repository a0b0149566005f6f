"""The view that compares images with texts, as a user sees it."""

import pytest
from playwright.sync_api import expect

QUESTION = (
    "#/compare?image=example:red-star&image=example:green-ring&text=a%20red%20star"
    "&text=a%20green%20ring"
)


@pytest.fixture
def tab(visit):
    return visit(QUESTION)


def cells(tab):
    expect(tab.page.locator("td.best").first).to_be_visible()
    return [
        float(text.rstrip(" %").lstrip("< "))
        for text in tab.page.locator("tbody td").all_inner_texts()
    ]


def test_right_pairs_have_the_highest_cosines(tab):
    star_star, star_ring, ring_star, ring_ring = cells(tab)
    assert min(star_star, ring_ring) > max(star_ring, ring_star)
    expect(tab.page.locator("tr:first-child td.best")).to_have_text(f"{star_star:.3f}")


def test_probabilities_of_an_image_sum_to_one(tab):
    tab.page.get_by_role("button", name="Probability").click()
    expect(tab.page.locator("td.best").first).to_contain_text("%")
    found = cells(tab)
    assert sum(found[:2]) == pytest.approx(100, abs=0.2)
    assert "by=share" in tab.page.url


def test_images_and_texts_are_added(tab, sample):
    tab.page.get_by_label("Image file").set_input_files([sample("digit-3"), sample("digit-6")])
    tab.page.get_by_label("Texts, one a line").fill("the digit three\nthe digit six, or not")
    expect(tab.page.locator("tbody tr")).to_have_count(4)
    expect(tab.page.locator("thead th")).to_have_text(["the digit three", "the digit six, or not"])
    expect(tab.page.locator("tr:nth-child(3) td.best")).to_be_visible()


def test_image_is_removed(tab):
    tab.page.get_by_role("button", name="Remove red-star.png").click()
    expect(tab.page.locator("tbody tr")).to_have_count(1)
    tab.page.go_back()
    expect(tab.page.locator("tbody tr")).to_have_count(2)


def test_unreadable_image_is_named(tab, unreadable):
    tab.page.get_by_label("Image file").set_input_files(unreadable)
    expect(tab.page.locator(".problem")).to_contain_text("broken.png: ", ignore_case=True)


def test_tab_leads_back_to_its_view(tab):
    cells(tab)
    tab.page.get_by_role("link", name="Classify").click()
    expect(tab.page.get_by_role("heading")).to_have_text("What it shows")
    tab.page.get_by_role("link", name="Compare").click()
    expect(tab.page.locator("tbody tr")).to_have_count(2)
