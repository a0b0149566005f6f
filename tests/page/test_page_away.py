"""A service that dies and comes back, and the page of a service elsewhere."""

import http.client
import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect
from served import starts_server
from service import running_service

from align_zoo.serving.credentials import Access

QUESTION = "#/classify?image=example:red-star&label=a%20red%20star&label=a%20green%20ring"
TOKEN = "s3cret"


@pytest.fixture(scope="module")
@starts_server
def mortal(tmp_path_factory):
    """A service with a token, for this module alone."""
    folder = tmp_path_factory.mktemp("mortal")
    tokens = folder / "tokens"
    tokens.write_text(TOKEN)
    flags = ("--page", f"--token-file={tokens}")
    access = Access(token_file=tokens)
    with running_service("align_tiny", folder / "log", *flags, access=access) as service:
        yield service


@pytest.fixture
def relay(mortal):
    """`align-zoo web --server` in front of it; its address."""
    command = [Path(sys.executable).with_name("align-zoo"), "web", f"--server={mortal.http}"]
    command += [f"--token-file={mortal.access.token_file}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        line = process.stderr.readline()
        yield re.search(r"http://127\.0\.0\.1:\d+", line)[0]
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


def test_page_asks_for_the_token(visit, mortal):
    tab = visit(QUESTION, address=mortal.http)
    expect(tab.page.get_by_role("alert").first).to_contain_text("A bearer token is needed.")
    tab.page.get_by_label("Token").first.fill(TOKEN)
    tab.page.get_by_role("button", name="Use this token").first.click()
    tab.expect_best("a red star")


def test_page_of_a_service_elsewhere_answers(visit, relay):
    tab = visit(QUESTION, address=relay)
    tab.expect_best("a red star")
    expect(tab.page.get_by_role("link", name="Search")).to_be_hidden()
    tab.page.locator(".bars button").first.hover()
    expect(tab.page.locator(".stage.heated")).to_be_visible()


@pytest.mark.parametrize(
    "headers", [{"Sec-Fetch-Site": "cross-site"}, {"Host": "evil.example"}], ids=str
)
def test_another_site_cannot_use_its_token(relay, headers):
    connection = http.client.HTTPConnection(urlsplit(relay).netloc)
    connection.request("GET", "/v1/models", headers=headers)
    answer = connection.getresponse()
    assert (answer.status, json.load(answer)["error"]["code"]) == (403, "closed")


def test_service_that_comes_back_is_asked_again(visit, relay, mortal):
    tab = visit(QUESTION, address=relay)
    tab.expect_best("a red star")
    mortal.stop()
    tab.page.get_by_title("green-ring").click()
    expect(tab.page.get_by_role("alert").first).to_contain_text("does not answer")
    mortal.start()
    # The page may have asked by itself, and hidden the button, before it is clicked.
    tab.page.get_by_text("Try now").dispatch_event("click")
    tab.expect_best("a green ring")
    expect(tab.page.locator("#banner")).to_be_hidden()
