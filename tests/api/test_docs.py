"""The reference says all that there is and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

from conductor.api import create_gateway
from conductor.api.error_map import WIRE_ERRORS
from conductor.api.grpc_edge import CALLS_MAX, MEMORY_BYTES_MAX, REQUEST_BYTES_MAX
from conductor.api.grpc_service import WATCHERS_MAX
from conductor.api.jsonrpc import (
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    RESPONSE_TOO_LARGE,
)
from conductor.api.jsonrpc_method import Method
from conductor.api.jsonrpc_methods import METHODS
from conductor.config import Limits
from conductor.v1 import admin_pb2, conductor_pb2
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


async def no_metrics(_: str) -> tuple[bytes, str]:
    """A page with nothing on it."""
    return b"", "text/plain"


def test_every_path_is_documented_and_every_documented_path_is_served() -> None:
    application = create_gateway(FakeConductor(), Limits(), None, no_metrics)
    served = set()
    for route in application.router.routes():
        assert route.resource is not None
        if route.method != "HEAD":
            method = "POST" if route.method == "*" else route.method
            path = route.resource.canonical
            served.add(f"{method} {path if path == '/' else path.rstrip('/')}")
    text = section("api.md", "REST") + section("api.md", "JSON-RPC")
    assert set(re.findall(r"^### `(.*)`$", text, re.MULTILINE)) == served


def parameters(method: Method) -> str:
    """The parameters of a method as the reference writes them."""
    names = [f"`{one.name}{'' if one.is_required else '?'}`" for one in method.parameters]
    return ", ".join(names) or "-"


def test_every_json_rpc_method_is_documented_with_its_parameters() -> None:
    documented = rows(section("api.md", "JSON-RPC"))
    assert [cells[:2] for cells in documented] == [
        [name, parameters(method)] for name, method in METHODS.items()
    ]
    assert all(len(cells) == 3 and cells[2] for cells in documented)


def test_method_that_returns_nothing_is_documented_to_answer_null() -> None:
    results = {cells[0]: cells[2] for cells in rows(section("api.md", "JSON-RPC"))}
    assert [name for name, result in results.items() if result.startswith("null")] == [
        name for name, method in METHODS.items() if method.result is None
    ]


def test_every_json_rpc_code_is_explained() -> None:
    text = section("api.md", "JSON-RPC")
    explained = {int(code) for code in re.findall(r"^\| (-32\d{3}) \|", text, re.MULTILINE)}
    own = {PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, RESPONSE_TOO_LARGE}
    assert explained == own | {wire.jsonrpc_code for wire in WIRE_ERRORS.values()}


def test_every_rpc_is_documented_with_its_request() -> None:
    parts = section("api.md", "gRPC").split("\n### ")
    services = (
        conductor_pb2.DESCRIPTOR.services_by_name["ConductorService"],
        admin_pb2.DESCRIPTOR.services_by_name["AdminService"],
    )
    for service in services:
        (text,) = (part for part in parts if part.startswith(f"`{service.full_name}`\n"))
        documented = rows(text)
        assert [cells[:2] for cells in documented] == [
            [method.name, ", ".join(f"`{one.name}`" for one in method.input_type.fields) or "-"]
            for method in service.methods
        ]
        assert all(len(cells) == 3 and cells[2] for cells in documented)


def test_bounds_of_grpc_are_documented() -> None:
    text = " ".join(section("api.md", "gRPC").split())
    for bound in (
        f"Requests have at most {REQUEST_BYTES_MAX >> 10} KiB",
        f"that of `Commit` {Limits().grpc_message_bytes_max >> 20} MiB",
        f"at most {CALLS_MAX} calls at a time, with {MEMORY_BYTES_MAX >> 20} MiB of large requests",
        f"{MEMORY_BYTES_MAX >> 20} MiB of large answers",
        f"At most {WATCHERS_MAX} clients watch a node",
    ):
        assert bound in text


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
