"""What `rpc.discover` answers: the JSON-RPC methods, described for programs (OpenRPC 1.3).

Law: the document is made from the table of methods, and every schema from the type that the method
reads or answers with, so that it cannot say anything else than the code does.

Reference: https://spec.open-rpc.org
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from conductor import __version__
from conductor.api.jsonrpc_method import Method, Parameter

OPENRPC_VERSION = "1.3.2"

Document = dict[str, Any]


def openrpc_document(methods: Mapping[str, Method]) -> Document:
    """The OpenRPC document of these methods."""
    kinds = [
        kind
        for method in methods.values()
        for kind in (method.result, *(parameter.kind for parameter in method.parameters))
    ]
    schemas, components = msgspec.json.schema_components(
        kinds, ref_template="#/components/schemas/{name}"
    )
    schema_of = iter(schemas)
    return {
        "openrpc": OPENRPC_VERSION,
        "info": {
            "title": "op-conductor",
            "description": "Sequencer high availability for OP Stack chains",
            "version": __version__,
        },
        "methods": [
            {
                "name": name,
                "summary": method.summary,
                "paramStructure": "by-position",
                "result": {"name": "result", "schema": next(schema_of)},
                "params": [
                    _parameter(parameter, next(schema_of)) for parameter in method.parameters
                ],
            }
            for name, method in methods.items()
        ],
        "components": {"schemas": components},
    }


def _parameter(parameter: Parameter, schema: Document) -> Document:
    if not parameter.is_required:
        schema = {**schema, "default": parameter.default}
    return {
        "name": parameter.name,
        "summary": parameter.summary,
        "required": parameter.is_required,
        "schema": schema,
    }
