"""The rows of the table that other tests try: their outcomes are counted here, in the long form only."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as xml
from pathlib import Path

import pytest

from tests.faults.process import ROOT, child_environment
from tests.faults.results import EFFORT, SOAK, Results

pytestmark = pytest.mark.skipif(not EFFORT.long, reason="these tests are part of the ordinary run themselves")

READING = ["tests/unit/corpus/test_readers.py", "tests/unit/corpus/test_job.py"]
PLACES = "disk or cannot_be_written or vanishes or size_of_files"
# The row, and the tests that try it.
ELSEWHERE = [
    pytest.param(12, ["tests/e2e/test_corpus_kill.py", "-k", "lose"], id="kills", marks=pytest.mark.fault(12)),
    pytest.param(13, ["tests/e2e/test_ray.py"], id="Ray", marks=pytest.mark.fault(13)),
    pytest.param(14, ["tests/e2e/test_corpus_kill.py", *READING, "-k", PLACES], id="disk", marks=pytest.mark.fault(14)),
    pytest.param(15, READING, id="input", marks=pytest.mark.fault(15)),
]


@pytest.mark.parametrize(("number", "tests"), ELSEWHERE)
def test_what_is_tried_elsewhere_holds(number: int, tests: list[str], tmp_path: Path, results: Results) -> None:
    report = tmp_path / "report.xml"
    environment = {name: value for name, value in child_environment().items() if name != SOAK}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *tests]
    subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, timeout=1200, check=False)
    (suite,) = xml.parse(report).getroot().iter("testsuite")
    tried, skipped = int(suite.attrib["tests"]), int(suite.attrib["skipped"])
    failed = int(suite.attrib["failures"]) + int(suite.attrib["errors"])
    if tried == skipped:
        pytest.skip(f"all {tried} were skipped here")
    figure = f"{tried - skipped} tests of {' and '.join(name for name in tests if os.sep in name)}, {failed} failed"
    results.record(number, tried=tried - skipped, failed=failed, figure=figure)
    assert failed == 0
