"""The reference says all that there is and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

from conductor.api import create_gateway
from conductor.api.error_map import WIRE_ERRORS
from conductor.api.jsonrpc_methods import METHODS
from conductor.config import Limits
from conductor.v1 import conductor_pb2
from tests.api.fakes import FakeConductor

DOCS = Path(__file__).resolve().parents[2] / "docs"


def section(page: str, heading: str) -> str:
    """The text under a second-level heading."""
    text = (DOCS / page).read_text("utf-8")
    (found,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return str(found)


def rows(text: str) -> list[list[str]]:
    """The cells of every table row whose first cell is code, without its backquotes."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| `")]
    return [[cells[0].strip("`"), *cells[1:]] for cells in lines]


def test_every_path_is_documented_and_every_documented_path_is_served() -> None:
    application = create_gateway(FakeConductor(), Limits())
    served = set()
    for route in application.router.routes():
        assert route.resource is not None
        if route.method != "HEAD":
            method = "POST" if route.method == "*" else route.method
            served.add(f"{method} {route.resource.canonical}")
    text = section("api.md", "REST") + section("api.md", "JSON-RPC")
    assert set(re.findall(r"^### `(.*)`$", text, re.MULTILINE)) == served


def test_every_json_rpc_method_is_documented() -> None:
    assert [cells[0] for cells in rows(section("api.md", "JSON-RPC"))] == list(METHODS)


def test_every_rpc_is_documented() -> None:
    service = conductor_pb2.DESCRIPTOR.services_by_name["ConductorService"]
    documented = [cells[0] for cells in rows(section("api.md", "gRPC"))]
    assert documented == [method.name for method in service.methods]


def test_every_error_code_is_explained() -> None:
    explained = rows(section("errors.md", "Meaning and cure"))
    assert [cells[0] for cells in explained] == [kind.code for kind in WIRE_ERRORS]
    assert all(len(cells) == 3 and all(cells) for cells in explained)


def test_every_error_code_is_what_the_table_says_on_every_wire() -> None:
    assert rows(section("errors.md", "On the wires")) == [
        [
            kind.code,
            str(wire.http_status),
            wire.grpc_status.name,
            str(wire.jsonrpc_code),
            wire.outcome,
        ]
        for kind, wire in WIRE_ERRORS.items()
    ]


def test_error_codes_are_distinct() -> None:
    codes = [kind.code for kind in WIRE_ERRORS]
    assert len(set(codes)) == len(codes)
