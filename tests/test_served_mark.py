"""The mark `served`: given by fixtures, and demanded of each test that starts a tritonserver."""

import os
import shutil
import subprocess
import sys

import pytest

TESTS = """
    import subprocess
    import pytest
    from served import starts_server

    def start():
        subprocess.run([{program!r}, "1"], check=True)

    @pytest.fixture(scope="module")
    @starts_server
    def server():
        start()

    {test}
"""
CASES = {
    "fixture": ("def test_it(server): pass", 0),
    "mark": ("@pytest.mark.served\n    def test_it(): start()", 0),
    "no-mark": ("def test_it(): start()", 1),
    "fixture-of-the-same-name": (
        "@pytest.fixture\n    def server(): start()\n\n    def test_it(server): pass",
        1,
    ),
}


@pytest.mark.parametrize(("test", "code"), CASES.values(), ids=CASES)
def test_a_started_tritonserver_demands_the_mark(pytestconfig, tmp_path, test, code):
    program = tmp_path / "tritonserver"
    shutil.copy(shutil.which("sleep"), program)
    lines = TESTS.format(program=str(program), test=test).splitlines()
    (tmp_path / "test_some.py").write_text("\n".join(line[4:] for line in lines))
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = served\n")
    support = pytestconfig.rootpath / "tests" / "support"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "served", "-q", str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(support)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert ("test_some.py::test_it" in done.stdout.partition("without the mark")[2]) == bool(code)
