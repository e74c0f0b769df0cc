"""What the tests against the Go libraries share: the two builds, and time for the first of them."""

from __future__ import annotations

import pytest

from tests.interop.go import BUILD_TIMEOUT_S, MODULE_FILES, RUN_TIMEOUT_S, Raftkit, build


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whichever test comes first may have to wait for both builds."""
    for item in items:
        if "raftkit" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(2 * BUILD_TIMEOUT_S + RUN_TIMEOUT_S))


@pytest.fixture(scope="session", params=list(MODULE_FILES))
def raftkit(request: pytest.FixtureRequest) -> Raftkit:
    """Each build in turn: what holds must hold for both."""
    name: str = request.param
    return build(name)
