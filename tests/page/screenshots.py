"""Take docs/images/page-*.png of a running service: ``python tests/page/screenshots.py URL``.

The service has align_emoji, the page, and a collection of align_zoo/assets/emoji.
"""

import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

_FOLDER = Path(__file__).parents[2] / "docs" / "images"
_PHONE, _DESKTOP = {"width": 390, "height": 800}, {"width": 1280, "height": 790}
_STAR = ".bars li:first-child button"
SHOTS = {
    "desktop": ("#/classify", _DESKTOP, "light", _STAR),
    "dark": ("#/search?q=heart", {**_DESKTOP, "height": 640}, "dark", ".hit:nth-child(5) img"),
    "phone": (
        "#/classify?image=example:octopus&label=octopus&label=rocket&label=pizza&label=a house",
        _PHONE,
        "light",
        _STAR,
    ),
    "phone-dark": ("#/compare", _PHONE, "dark", "td.best"),
}


def main(url: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for name, (question, size, scheme, wait) in SHOTS.items():
            page = browser.new_page(viewport=size, color_scheme=scheme)
            page.goto(f"{url}/{question}")
            page.locator(wait).first.wait_for()
            if wait == _STAR:
                page.locator(wait).click()
                page.locator(".heated canvas").wait_for()
            page.wait_for_load_state("networkidle")
            file = _FOLDER / f"page-{name}.png"
            page.screenshot(path=file)
            page.close()
            image = Image.open(file).convert("RGB")
            # A heat map has more colours than a palette.
            (image if name == "desktop" else image.quantize(160)).save(file, optimize=True)
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1].rstrip("/"))
