"""The site of the documents is searched from disk, with no server and no network."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect
from site_pages import SITE, build_site


@pytest.fixture(scope="module")
def site():
    done = build_site()
    assert done.returncode == 0, done.stderr
    return SITE


@pytest.fixture
def tab(browser):
    """A tab; the test ends with nothing asked but files, and no complaint."""
    context = browser.new_context()
    page = context.new_page()
    asked, complaints = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    context.close()
    assert {urlsplit(url).scheme for url in asked} <= {"file", "data"}
    assert complaints == []


def test_search_finds_a_page(site, tab):
    tab.goto((site / "index.html").as_uri())
    box = tab.locator("input[name=q]").first
    box.fill("temperature")
    box.press("Enter")
    found = tab.locator("#search-results li a", has_text="Concepts").first
    expect(found).to_be_visible()
    found.click()
    expect(tab.locator("h1")).to_contain_text("Concepts")
