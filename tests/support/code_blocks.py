"""The documents' blocks of code, and the commands in those of the shell."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

__all__ = ["NOT_RUN", "PAGES", "ROOT", "SHELL_ELSEWHERE", "blocks", "commands", "runs_as_written"]

ROOT = Path(__file__).parents[2]
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for pattern in ("README.md", "docs/*.md", "client/README.md", "deploy/README.md")
    for path in sorted(ROOT.glob(pattern))
}
SHELL_ELSEWHERE = {
    "docs/explain.md": ["tests/docs/test_explain_page.py"],
    "docs/first-hour.md": ["tests/newcomer/test_first_hour.py"],
    "docs/http.md": ["tests/serving/gateway/rest/test_rest_document.py"],
    "docs/integrations.md": ["tests/integrations/conftest.py"],
    "docs/recipes.md": ["tests/test_recipes.py", "tests/serving/gateway/test_gateway_recipes.py"],
}
"""Pages whose blocks of the shell other files run as written."""
NOT_RUN = {
    "accelerate launch": "wants four GPUs; tests/training/test_accelerator.py launches on a CPU",
    "align-zoo index /mnt/photos": "wants several machines; tests/collection/test_ray.py starts a"
    " cluster on one",
    "align-zoo index s3://": "wants an object store; tests/collection/test_object_store.py has one",
    "align-zoo index ~/Pictures photos.collection --workers": "starts four processes of Ray;"
    " tests/collection/test_engines.py gives the option, tests/collection/test_ray.py runs workers",
    "docker": "is not on every machine of the tests",
    "export": "sets variables; tests/collection/test_ray.py, tests/collection/test_object_store.py"
    " and, in a process of its own, tests/collection/test_table.py set them, too",
    "make": "is what CI calls: its targets are looked up",
    "pip": "is looked at by tests/test_install_lines.py",
    "python -m align_zoo.emoji.train": "trains for hours; tests/emoji/test_emoji_train.py makes"
    " four steps",
    "python train.py": "is timm's script, which is not in its package;"
    " tests/training/test_timm_script.py tries what its options do",
    "ray": "wants several machines; tests/collection/test_ray.py starts a cluster on one",
    "torchrun": "is cut short on the page; tests/training/test_processes.py runs two",
    "tritonserver": "is NVIDIA's container's; tests/serving/test_served_models.py starts a wheel's",
}
"""How commands of the other pages begin that no test runs as written, and why: they are parsed."""


def blocks(text: str, *languages: str) -> list[str]:
    found = re.findall(r"^ *```(\w*)\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    return [code for language, code in found if language in languages]


def commands(text: str) -> list[list[str]]:
    """Return the words of each command in the shell's blocks, without its environment."""
    found = []
    for block in blocks(text, "bash", "sh"):
        block = re.sub(r"<<END\n.*?^END$", "", block, flags=re.MULTILINE | re.DOTALL)
        block = re.sub(r"(^|\s)#.*$", "", block.replace("\\\n", " "), flags=re.MULTILINE)
        lexer = shlex.shlex(_one_line(block), posix=True, punctuation_chars="|;&")
        lexer.whitespace_split = True
        lexer.commenters = ""
        words: list[str] = []
        for word in [*lexer, ";"]:
            if set(word) <= set("|;&"):
                if words:
                    found.append(words)
                words = []
            elif words or not re.match(r"[A-Z_]+=", word):
                words.append(word)
    return found


def _one_line(block: str) -> str:
    """End each command by a semicolon, but for the line ends inside of quotes."""
    parts = re.split(r"('[^']*'|\"[^\"]*\")", block)
    return "".join(
        part if index % 2 else part.replace("\n", " ; ") for index, part in enumerate(parts)
    )


def runs_as_written(words: list[str]) -> bool:
    """Whether tests/docs/test_page_commands.py runs a command of a page that it runs."""
    line = " ".join(words)
    return not any(line.startswith(begin) for begin in NOT_RUN)
