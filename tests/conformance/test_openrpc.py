"""`rpc.discover`, judged by the schema that the authors of OpenRPC publish."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
from jsonschema import Draft7Validator  # type: ignore[import-untyped]  # no stubs
from referencing import Registry
from referencing.jsonschema import DRAFT7

from conductor.api.jsonrpc_methods import METHODS
from conductor.api.openrpc import openrpc_document
from tests.conformance.npm import INSTALL_TIMEOUT_S, installed

PRINT_SCHEMA = "console.log(JSON.stringify(require('@open-rpc/meta-schema').openrpcDocument))"

pytestmark = pytest.mark.timeout(INSTALL_TIMEOUT_S + 60)


@pytest.fixture(scope="module")
def judge() -> Draft7Validator:
    """Judges OpenRPC documents. That what they hold are JSON schemas is judged elsewhere."""
    folder = installed().parent
    printed = subprocess.run(
        ["node", "-e", PRINT_SCHEMA], cwd=folder, capture_output=True, check=True, timeout=60
    )
    anything = DRAFT7.create_resource({})
    registry: Registry[Any] = Registry(retrieve=lambda _: anything)  # type: ignore[call-arg]  # by attrs
    return Draft7Validator(json.loads(printed.stdout), registry=registry)


def a_document() -> dict[str, Any]:
    """What a client gets."""
    document: dict[str, Any] = json.loads(json.dumps(openrpc_document(METHODS)))
    return document


def test_document_is_an_openrpc_document(judge: Draft7Validator) -> None:
    judge.validate(a_document())


@pytest.mark.parametrize(
    "change",
    [
        {"openrpc": "9.9.9"},
        {"info": {"title": "no version"}},
        {"methods": [{"name": "no_params"}]},
        {"methods": [{"name": "a", "params": [{"schema": {}}]}]},
        {"unknown": 1},
    ],
)
def test_judge_refuses_what_is_none(judge: Draft7Validator, change: dict[str, Any]) -> None:
    assert not judge.is_valid(a_document() | change)
