"""A real service on align_tiny, and a real browser that reaches nothing but loopback."""

import re
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from playwright.sync_api import expect, sync_playwright
from served import starts_server
from service import running_service

from align_zoo.collection.collection import Collection
from align_zoo.serving.tools.demo import sample_images
from align_zoo.tiny.concepts import ALL_COLOURS, ALL_SHAPES, Meaning
from align_zoo.tiny.images import draw_image

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--no-sandbox",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)

expect.set_options(timeout=10_000)


def draw_album(folder: Path, count: int) -> None:
    """Draw so many things that align_tiny knows, each in one of its colours, on a background."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(count):
        meaning = Meaning(colour=str(rng.choice(ALL_COLOURS)), shape=str(rng.choice(ALL_SHAPES)))
        draw_image(meaning, rng).save(folder / f"{number:04}.png")


@pytest.fixture(scope="session")
@starts_server
def service(tmp_path_factory):
    """A service with the page, and a collection of an album and of the shipped images."""
    folder = tmp_path_factory.mktemp("page")
    draw_album(folder / "album", 60)
    for path in sample_images():
        shutil.copy(path, folder / "album")
    shutil.copy(folder / "album" / "0038.png", folder / "album" / "0038-copy.png")
    with Collection.create(folder / "album.collection", model="align_tiny") as kept:
        kept.add(folder / "album")
    flags = ("--page", "--collection", str(folder / "album.collection"))
    with running_service("align_tiny", folder / "service.log", *flags) as service:
        yield service


@pytest.fixture(scope="session")
def browser():
    found = next(filter(None, map(shutil.which, _BROWSERS)), None)
    assert found, "no Chromium: apt-get install --no-install-recommends chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=_FLAGS)
        yield browser
        browser.close()


class Visit:
    """A tab of the browser at a service's page.

    What the page asks, and what the browser complains of, is recorded.
    """

    def __init__(self, context, address):
        self.page = context.new_page()
        self.page.set_default_timeout(10_000)
        self.address = address
        self.asked = []
        self.complaints = []
        self.page.on("request", lambda request: self.asked.append(request))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._heard)

    def _heard(self, message):
        # A refused request is the service's answer, which the page shows.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.complaints.append(message.text)

    def open(self, question=""):
        """Open the page at a question, as in "#/classify?label=star"."""
        self.page.goto(f"{self.address}/{question}")
        return self

    def best(self):
        """The best label, once there is an answer."""
        expect(self.page.locator(".bars li").first).to_be_visible()
        return self.page.locator(".bars .name").first.inner_text()

    def expect_best(self, label):
        expect(self.page.locator(".bars .name").first).to_have_text(label)

    def calls(self, path):
        return [each for each in self.asked if urlsplit(each.url).path == path]

    def foreign(self):
        """The addresses of requests to anybody but the service."""
        own = re.compile(rf"(blob:)?{re.escape(self.address)}/|data:")
        return [each.url for each in self.asked if not own.match(each.url)]


@pytest.fixture
def visit(browser, service):
    """Open tabs at the page; a test ends with no foreign request and no complaint."""
    visits, contexts = [], []

    def begin(question="", *, address=service.http, opened=True, **options):
        contexts.append(context := browser.new_context(**options))
        visits.append(visit := Visit(context, address))
        return visit.open(question) if opened else visit

    yield begin
    for context in contexts:
        context.close()
    assert [url for visit in visits for url in visit.foreign()] == []
    assert [words for visit in visits for words in visit.complaints] == []


@pytest.fixture(scope="session")
def sample():
    """The path of a shipped image, by its name."""
    return {path.stem: str(path) for path in sample_images()}.__getitem__


@pytest.fixture
def unreadable(tmp_path):
    path = Path(tmp_path / "broken.png")
    path.write_bytes(b"\x89PNG no image follows")
    return str(path)
