"""Take docs/images/page-*.png of a service that runs: ``python tests/page/screenshots.py URL``."""

import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

_FOLDER = Path(__file__).parents[2] / "docs" / "images"
_PHONE, _DESKTOP = {"width": 390, "height": 800}, {"width": 1280, "height": 790}
_STAR = ".bars li:first-child button"
_TABLE = "".join(
    f"&image=example:{name}" for name in ("red-star", "green-ring", "blue-triangle", "digit-3")
) + "".join(f"&text={text}" for text in ("a red star", "a green ring", "a triangle", "three"))
SHOTS = {
    "desktop": ("#/classify", _DESKTOP, "light", _STAR),
    "dark": ("#/search?q=a star", _DESKTOP, "dark", ".hit:nth-child(5) img"),
    "phone": (
        "#/classify?image=example:green-ring&label=a ring&label=a star&label=a square"
        "&label=a cross&label=a circle",
        _PHONE,
        "light",
        _STAR,
    ),
    "phone-dark": (f"#/compare?{_TABLE[1:]}", _PHONE, "dark", "td.best"),
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
            (image if wait == _STAR else image.quantize(192)).save(file, optimize=True)
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1].rstrip("/"))
