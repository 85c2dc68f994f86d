"""One lab for the whole run of pytest; PV_RELEASE says on which Debian (default 13)."""

import os
from collections.abc import Iterator

import pytest

from lab.bring_up import up
from lab.lab import Lab
from lab.story import Story


@pytest.fixture(scope="session")
def running_lab() -> Lab:
    """The lab, brought up if it is not; it stays up for the next run (./do demo-down)."""
    return up(os.environ.get("PV_RELEASE", "13"))


@pytest.fixture
def lab(running_lab: Lab, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """The lab for one test, which leaves it as it was; the journals are kept where the test failed."""
    failed = request.session.testsfailed
    yield running_lab
    if request.session.testsfailed > failed:
        print(f"logs of all hosts: {running_lab.save_logs(request.node.name)}")
    running_lab.clean()


@pytest.fixture
def story() -> Story:
    """The tale of one test, shown when it fails."""
    return Story()
