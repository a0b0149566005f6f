"""What the page shows as code, run as it is."""

import json
import subprocess
import sys

import pytest

LABEL = 'a "red" $star\'s `one`, with a \\'


def code_of(tab, form):
    tab.best()
    tab.page.get_by_role("button", name="As code").click()
    tab.page.get_by_role("button", name=form).click()
    return tab.page.get_by_label("The request").inner_text()


@pytest.mark.parametrize(
    "prompts",
    ["", "&template=a%20{}&template=%22{}%22", "&prompts=imagenet"],
    ids=["no", "own", "set"],
)
@pytest.mark.parametrize(
    ("form", "command"), [("curl", ["bash", "-c"]), ("Python", [sys.executable, "-c"])]
)
def test_code_gives_the_answer_that_is_shown(visit, tmp_path, form, command, prompts):
    tab = visit(f"#/classify?image=example:red-star&label=a%20red%20star{prompts}")
    field = tab.page.get_by_label("Labels, one a line")
    field.fill(f"a red star\n{LABEL}")
    tab.page.get_by_label("None of these", exact=True).check()
    code = code_of(tab, form)
    done = subprocess.run([*command, code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    predictions = json.loads(done.stdout)["data"][0]["predictions"]
    shown = tab.page.locator(".bars .name").all_inner_texts()
    assert [each["label"] for each in predictions] == shown
    shares = tab.page.locator(".bars .share").all_inner_texts()
    for each, share in zip(predictions, shares, strict=True):
        assert share in (f"{100 * each['score']:.1f} %", "< 0.1 %")
    assert {each["label"] for each in predictions} == {"a red star", LABEL, "something else"}
