"""`rpc.discover` says what there is: every method, its parameters, and what it answers with."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # no stubs

from conductor import __version__
from conductor.api.jsonrpc_methods import METHODS
from conductor.payload import ssz_from_json
from tests.api.conftest import GatewayClient
from tests.api.fakes import FakeConductor
from tests.payload.builders import a_document, as_bytes

ACKNOWLEDGEMENT = {
    "server_id": "node-2",
    "incarnation": "6f1c",
    "epoch": 7,
    "index": 41,
    "digest": "0x" + "AB" * 32,
    "signature": "cd" * 64,
}
ARGUMENTS: dict[str, list[Any]] = {
    "conductor_acknowledge": [ACKNOWLEDGEMENT],
    "conductor_commitUnsafePayload": [a_document()],
    "conductor_latestUnsafePayload": [True],
    "conductor_overrideLeader": [True],
    "conductor_payloadByHeight": [1000],
    "conductor_transferLeaderToServer": ["node-2", "10.0.0.2:18080"],
}


@pytest.fixture
async def document(gateway: GatewayClient) -> dict[str, Any]:
    """What the gateway answers to `rpc.discover`."""
    result: dict[str, Any] = (await gateway.call("rpc.discover"))["result"]
    return result


def validator(document: dict[str, Any], schema: dict[str, Any]) -> Draft202012Validator:
    """Judges values by a schema of the document."""
    whole = {**schema, "components": document["components"]}
    Draft202012Validator.check_schema(whole)
    return Draft202012Validator(whole)


def described(document: dict[str, Any], name: str) -> dict[str, Any]:
    """What the document says of a method."""
    (method,) = [method for method in document["methods"] if method["name"] == name]
    found: dict[str, Any] = method
    return found


def test_document_names_every_method_with_its_parameters(document: dict[str, Any]) -> None:
    assert document["openrpc"].startswith("1.3.")
    assert document["info"]["version"] == __version__
    assert [
        (method["name"], [(one["name"], one["required"]) for one in method["params"]])
        for method in document["methods"]
    ] == [
        (name, [(one.name, one.is_required) for one in method.parameters])
        for name, method in METHODS.items()
    ]
    assert all(method["summary"] for method in document["methods"])


def test_every_reference_in_the_document_leads_somewhere(document: dict[str, Any]) -> None:
    for schema in schemas_in(document):
        for reference in references(schema):
            assert (
                reference.removeprefix("#/components/schemas/") in document["components"]["schemas"]
            )


def schemas_in(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Every schema of the document."""
    methods = document["methods"]
    return [
        *(method["result"]["schema"] for method in methods),
        *(parameter["schema"] for method in methods for parameter in method["params"]),
        *document["components"]["schemas"].values(),
    ]


def references(schema: Any) -> list[str]:
    """The targets of every `$ref` in a schema."""
    if isinstance(schema, list):
        return [found for one in schema for found in references(one)]
    if isinstance(schema, dict):
        own = [schema["$ref"]] if "$ref" in schema else []
        return own + [found for one in schema.values() for found in references(one)]
    return []


@pytest.mark.parametrize("method", METHODS)
async def test_arguments_and_answer_are_as_the_document_says(
    gateway: GatewayClient, conductor: FakeConductor, document: dict[str, Any], method: str
) -> None:
    conductor.payloads[1000] = ssz_from_json(as_bytes(a_document()))
    description, arguments = described(document, method), ARGUMENTS.get(method, [])
    assert len(arguments) == len(description["params"])
    for argument, parameter in zip(arguments, description["params"], strict=True):
        validator(document, parameter["schema"]).validate(argument)
    answer = await gateway.call(method, *arguments)
    judge = validator(document, description["result"]["schema"])
    judge.validate(answer["result"])
    assert method == "rpc.discover" or not judge.is_valid([])


@pytest.mark.parametrize("version", [1, 2, 3, 4])
async def test_schema_of_payloads_fits_every_fork_and_nothing_else(
    document: dict[str, Any], version: int
) -> None:
    schema = described(document, "conductor_commitUnsafePayload")["params"][0]["schema"]
    judge = validator(document, schema)
    judge.validate(a_document(version))
    for wrong in (
        {"blockNumber": 1000},
        {"blockNumber": "0x01"},
        {"blockHash": "0x99"},
        {"feeRecipient": "33" * 20},
        {"transactions": ["0x1"]},
        {"gasUsed": None},
    ):
        assert not judge.is_valid(a_document(version, **wrong)), wrong


async def test_default_of_a_parameter_is_what_its_absence_means(
    gateway: GatewayClient, conductor: FakeConductor, document: dict[str, Any]
) -> None:
    schema = described(document, "conductor_overrideLeader")["params"][0]["schema"]
    await gateway.call("conductor_overrideLeader")
    assert conductor.leader_view.is_overridden is schema["default"]


@pytest.mark.parametrize("formed", [True, False])
async def test_membership_fits_its_schema_before_there_is_one(
    gateway: GatewayClient, conductor: FakeConductor, document: dict[str, Any], formed: bool
) -> None:
    conductor.formed = formed
    answer = await gateway.call("conductor_clusterMembership")
    schema = described(document, "conductor_clusterMembership")["result"]["schema"]
    validator(document, schema).validate(answer["result"])
