"""Running nodes stand whatever comes over their ports: clear errors, a clean log, bounded memory.

`scripts/malformed_inputs` does the same with twenty times as many inputs, and waits for slow ones.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.nodes import Node
from tests.malformed.campaign import Report, Wire, feed_lone_node, feed_member

SEED = 1
HTTP = 1500
LONE_GRPC = 200
MEMBER_GRPC = 400
WARM_UP = 0.5
"""So few inputs need a larger part of them until a node is as large as it has to be."""


@pytest.mark.timeout(240)
async def test_lone_node_stands_malformed_http_and_grpc(tmp_path: Path) -> None:
    report = Report()

    def wire(node: Node) -> Wire:
        return Wire(node, HTTP, LONE_GRPC, SEED, warm_up=WARM_UP)

    await feed_lone_node(tmp_path / "alone", report, wire)

    assert not report.problems, "\n".join([*report.lines, *report.problems])
    assert report.inputs > HTTP + LONE_GRPC


@pytest.mark.timeout(240)
async def test_member_of_a_cluster_stands_malformed_grpc_and_strangers(tmp_path: Path) -> None:
    report = Report()

    def wire(node: Node) -> Wire:
        return Wire(node, 0, MEMBER_GRPC, SEED, warm_up=WARM_UP)

    await feed_member(tmp_path / "three", report, wire)

    assert not report.problems, "\n".join([*report.lines, *report.problems])
    assert report.inputs > MEMBER_GRPC
