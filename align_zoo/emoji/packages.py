"""The npm packages of the drawings and the captions: pinned, fetched by npm, checked by hash.

Nothing of them is in the repository, but for the drawings of ``assets/emoji``. The licences are
in ``NOTICE`` there.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from align_zoo.checkpoint.paths import user_cache
from align_zoo.errors import AlignZooError

__all__ = ["CAPTIONS", "HELD_OUT_STYLE", "STYLES", "Package", "packages_folder"]


@dataclass(frozen=True)
class Package:
    """A package of one version.

    ``STYLES["noto"].read("icons.json", folder)`` is the content of a file in it.

    Attributes:
        name: the name in the npm registry.
        version: the version.
        integrity: the package's hash, as npm's lock files have it.
        licence: the licence's SPDX identifier.
        author: the rights holder, for the attribution.
    """

    name: str
    version: str
    integrity: str
    licence: str
    author: str

    def read(self, file: str, folder: Path) -> Any:
        """Return the content of a JSON file in the package; {} if the package has no such file.

        Args:
            file: the path inside the package.
            folder: the folder that keeps packages; an absent package is fetched by npm.

        Raises:
            AlignZooError: npm is missing or fails, or the package has another hash.
        """
        with tarfile.open(self._fetched(folder)) as archive:
            try:
                member = archive.extractfile(f"package/{file}")
            except KeyError:
                return {}
            assert member is not None
            return json.load(member)

    def _fetched(self, folder: Path) -> Path:
        """Return the package's archive; fetch it if the folder does not hold it."""
        path = folder / f"{self.name.lstrip('@').replace('/', '-')}-{self.version}.tgz"
        if not path.exists():
            self._fetch(folder)
        algorithm, _, digest = self.integrity.partition("-")
        found = base64.b64encode(hashlib.new(algorithm, path.read_bytes()).digest()).decode()
        if found != digest:
            raise AlignZooError(
                f"{path} has the hash {algorithm}-{found}, not {self.integrity}; delete the file "
                "to fetch it again"
            )
        return path

    def _fetch(self, folder: Path) -> None:
        npm = shutil.which("npm")
        if npm is None:
            raise AlignZooError(
                f"the drawings of {self.name} are fetched by npm, which is not installed; with "
                f"it, or with the archive of version {self.version} in {folder}, try again"
            )
        folder.mkdir(parents=True, exist_ok=True)
        command = [npm, "pack", "--silent", f"{self.name}@{self.version}"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if done.returncode:
            raise AlignZooError(f"npm does not fetch {self.name}: {done.stderr.strip()[-500:]}")


def packages_folder() -> Path:
    """Return the folder of the user's cache that keeps the packages and what is made of them."""
    return user_cache() / "emoji"


CAPTIONS = Package(
    "emojibase-data",
    "17.0.0",
    "sha512-Yvgb5AWoHViHV/gq1qr5ZAarcBip+B27/ZLRsUJkbgAEaLlZ/fof9g882LTpmEpyhBNEC0m2SEmItljHsTygjA==",
    "MIT",
    "Miles Johnson; names and keywords of the Unicode CLDR",
)
"""Names, keywords and groups of all emoji."""

STYLES = {
    "noto": Package(
        "@iconify-json/noto",
        "1.2.9",
        "sha512-DQiuXENbun41ch+XPSV55H9FaWKpHTyz46YIKtSaKYD4fIDDzL1tR6H4np/T38jfrTAeI3rcKF0mqHYeZVAuaw==",
        "Apache-2.0",
        "Google Inc",
    ),
    "twemoji": Package(
        "@iconify-json/twemoji",
        "1.2.5",
        "sha512-uKpuIEV0v6K5BW3Mjdyl+XKFVAbbcPxAgifKvEMtZoUZB5+YiY5zaMm2uNNCxyXzAWU9yNLlj41WU6/mvgALsw==",
        "CC-BY-4.0",
        "Twitter, Inc and other contributors",
    ),
    "fluent-emoji-flat": Package(
        "@iconify-json/fluent-emoji-flat",
        "1.2.6",
        "sha512-RY47RgPb47fYUiyrA64sIOL0+UU02s29sXpNBbIQRBUlPlfNFTKUmZDERGuxDs/7yNGWqQYvuaSYM1M4fRXlUw==",
        "MIT",
        "Microsoft Corporation",
    ),
    "fluent-emoji": Package(
        "@iconify-json/fluent-emoji",
        "1.2.7",
        "sha512-D8G6bKAyIsyxP1rzZtIWr/gg/fO4Rg1+DyCWlfqKK4h8W+4Em/Y0P6QYgJUQTlUcagzJvSyg+9OBv4hz4Hc/QA==",
        "MIT",
        "Microsoft Corporation",
    ),
    "noto-v1": Package(
        "@iconify-json/noto-v1",
        "1.2.5",
        "sha512-/DsVMius69Q0fRS53z7QK1TROSuar606jiIx+laXtdsYGMXpf6LtHBx6CGfoo3UHHb/XpBsw+1L1x3eyPqMuVA==",
        "Apache-2.0",
        "Google Inc",
    ),
    "fxemoji": Package(
        "@iconify-json/fxemoji",
        "1.2.2",
        "sha512-UAasRaxzFUKfIGSmLwnoarsssA4LX0VLLuEmplIqM6ZNQqIQRtav8tZ4H1neTlBreXuMQyAifr5jP4kn78DpiQ==",
        "Apache-2.0",
        "Mozilla",
    ),
    "streamline-emojis": Package(
        "@iconify-json/streamline-emojis",
        "1.2.4",
        "sha512-iNr9T9XuZVTyQPJO8ZlLxBzPkpi7qMl+z1l0C31vpEMqhPMelth3n7CeWQYtixdetDPdI81yeG4ROqjWpYJE6A==",
        "CC-BY-4.0",
        "Streamline",
    ),
    "emojione": Package(
        "@iconify-json/emojione",
        "1.2.3",
        "sha512-T9+T3HIbJNLKKsmxYKlaYhvnHYkz/HNYTV7SHCXVZPfeUi4FqskY70YeN8yYAZT8cCv7w5vJxS4Q1m8zb9CMMg==",
        "CC-BY-4.0",
        "Emoji One",
    ),
}
"""The sets of drawings, by the style's name."""

HELD_OUT_STYLE = "emojione"
"""The style that only the evaluation sees."""
