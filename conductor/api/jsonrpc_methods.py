"""All JSON-RPC methods: those of the Go op-conductor, with its names and results, and ours.

The table is the whole of it: what it does not name is not served, and what is said of the methods
elsewhere (`rpc.discover`, docs/api.md) is made from it or held against it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from conductor.api import jsonrpc_admin, jsonrpc_cluster, jsonrpc_payloads
from conductor.api.documents import (
    AcknowledgedDocument,
    AcknowledgementDocument,
    CertificateDocument,
    Envelope,
    Number,
    ServerDocument,
    ServersDocument,
    StatusDocument,
)
from conductor.api.jsonrpc_method import (
    TEXT_BYTES_MAX,
    Method,
    Parameter,
    Services,
    read_acknowledgement,
    read_boolean,
    read_height,
    read_payload,
    read_text,
)
from conductor.api.openrpc import openrpc_document

Text = Annotated[str, Meta(max_length=TEXT_BYTES_MAX)]


async def _modules(_: Services) -> dict[str, str]:
    """The namespaces that are served. `rpc.discover` is in none: that is a name of its own."""
    return {name.partition("_")[0]: "1.0" for name in sorted(METHODS) if "_" in name}


async def _discover(_: Services) -> msgspec.Raw:
    return _OPENRPC


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "conductor_acknowledge": Method(
            jsonrpc_payloads.acknowledge,
            "Hand the leader a member's signed acknowledgement that came another way",
            AcknowledgedDocument,
            (
                Parameter(
                    "acknowledgement",
                    "What the member has signed",
                    AcknowledgementDocument,
                    read_acknowledgement,
                ),
            ),
        ),
        "conductor_active": Method(
            jsonrpc_cluster.active, "Whether the node runs and is not paused", bool
        ),
        "conductor_certificate": Method(
            jsonrpc_payloads.certificate,
            "The newest certificate, and what is needed to check it",
            CertificateDocument,
        ),
        "conductor_clusterMembership": Method(
            jsonrpc_cluster.cluster_membership, "Every server of the cluster", ServersDocument
        ),
        jsonrpc_payloads.COMMIT: Method(
            jsonrpc_payloads.commit_unsafe_payload,
            "Certify a payload: the answer comes once a quorum has it on disk",
            None,
            (
                Parameter(
                    "payload",
                    "The envelope as op-node writes it; bare payloads of Bedrock and Canyon too",
                    Envelope,
                    read_payload,
                ),
            ),
        ),
        "conductor_epoch": Method(
            jsonrpc_cluster.epoch, "The epoch of the leadership that this node knows of", Number
        ),
        "conductor_latestUnsafePayload": Method(
            jsonrpc_payloads.latest_unsafe_payload,
            "The newest certified payload",
            Envelope,
            (
                Parameter(
                    "consistent",
                    "Whether the leader first makes sure with a quorum that it still leads",
                    bool,
                    read_boolean,
                    default=False,
                ),
            ),
        ),
        "conductor_leader": Method(
            jsonrpc_cluster.leader, "Whether this node leads, or is made to say so", bool
        ),
        "conductor_leaderOverridden": Method(
            jsonrpc_cluster.leader_overridden,
            "Whether an operator makes this node say that it leads",
            bool,
        ),
        "conductor_leaderWithID": Method(
            jsonrpc_cluster.leader_with_id, "The leader that this node knows of", ServerDocument
        ),
        "conductor_overrideLeader": Method(
            jsonrpc_admin.override_leader,
            "Make this node say that it leads, or say the truth again; commits do not change",
            None,
            (
                Parameter(
                    "overridden",
                    "Whether it is to say that it leads",
                    bool,
                    read_boolean,
                    default=True,
                ),
            ),
        ),
        "conductor_pause": Method(
            jsonrpc_admin.pause, "Make the node step aside until it is resumed", None
        ),
        "conductor_paused": Method(
            jsonrpc_cluster.paused, "Whether an operator has paused the node", bool
        ),
        "conductor_payloadByHeight": Method(
            jsonrpc_payloads.payload_by_height,
            "A certified payload of the chain that ends in the newest one",
            Envelope,
            (Parameter("height", "The block number, as a number", Number, read_height),),
        ),
        "conductor_resume": Method(
            jsonrpc_admin.resume, "Make a paused node take part again", None
        ),
        "conductor_sequencerHealthy": Method(
            jsonrpc_cluster.sequencer_healthy,
            "Whether the sequencer is healthy; true while none is configured",
            bool,
        ),
        "conductor_status": Method(
            jsonrpc_cluster.status,
            "All that this node knows of itself and the cluster",
            StatusDocument,
        ),
        "conductor_stop": Method(jsonrpc_admin.stop, "End the process in an orderly way", None),
        "conductor_stopped": Method(
            jsonrpc_cluster.stopped, "Whether the end of the process has begun", bool
        ),
        "conductor_transferLeader": Method(
            jsonrpc_admin.transfer_leader,
            "Pass the leadership to the best voter; nothing to do on a node that does not lead",
            None,
        ),
        "conductor_transferLeaderToServer": Method(
            jsonrpc_admin.transfer_leader_to_server,
            "Pass the leadership to a voter",
            None,
            (
                Parameter("id", "Its server id", Text, read_text),
                Parameter(
                    "addr", "Its gRPC or gateway address; empty: wherever it is", Text, read_text
                ),
            ),
        ),
        "health_status": Method(jsonrpc_cluster.health_status, "The version of the program", str),
        "rpc.discover": Method(_discover, "This document", dict[str, Any]),
        "rpc_modules": Method(_modules, "The namespaces that are served", dict[str, str]),
    }
)

_OPENRPC = msgspec.Raw(msgspec.json.encode(openrpc_document(METHODS)))
