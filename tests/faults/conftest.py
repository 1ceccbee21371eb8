"""The servers that fault tests share, the effort they make, and the rows they fill."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.faults.process import ServerProcess
from tests.faults.results import EFFORT, Effort, Results

_RESULTS = pytest.StashKey[Results]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "fault(number): the row of the table of faults that a test belongs to")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that fails is a failure of its row, whether or not it got as far as recording one."""
    report = yield
    marker = item.get_closest_marker("fault")
    results = item.config.stash.get(_RESULTS, None)
    if marker is not None and results is not None and call.excinfo is not None and report.failed:
        results.record(marker.args[0], tried=0, failed=1, figure=f"failed: {item.name}")
    return report


@pytest.fixture(scope="session")
def effort() -> Effort:
    """How much to try."""
    return EFFORT


@pytest.fixture(scope="session")
def results(effort: Effort, request: pytest.FixtureRequest) -> Iterator[Results]:
    """Where tests record; written down at the end of the long form."""
    collected = Results()
    request.config.stash[_RESULTS] = collected
    yield collected
    if effort.long:
        collected.write()


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    """A server over the paced toy that the tests of a module share."""
    if not Path("/proc/self/status").exists():
        pytest.skip("what a process holds is read from /proc")
    running = ServerProcess(environment={"PACED_STEP_SECONDS": "0.001"})
    yield running
    running.close()
