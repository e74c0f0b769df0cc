"""A payload in the forms in which it is written: op-node's JSON, SSZ, a table of what it is."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from conductor.cli.payload_reading import Reading
from conductor.cli.status_json import member_as_json
from conductor.errors import ConfigError
from conductor.payload import json_from_ssz, payload_header

if TYPE_CHECKING:
    from conductor.cli.payload_proof import Proof
    from conductor.v1.conductor_pb2 import GetCertificateResponse
    from conductor.v1.types_pb2 import Head


def envelope_json(reading: Reading) -> bytes:
    """op-node's envelope, on one line."""
    return json_from_ssz(reading.ssz) + b"\n"


def document_json(reading: Reading, proof: Proof | None) -> bytes:
    """The envelope with its place in the log, its certificate, and what came of checking it."""
    assert reading.certificate is not None
    document = {
        "payload": json.loads(json_from_ssz(reading.ssz)),
        "index": reading.index,
        "epoch": reading.epoch,
        **_certificate_as_json(reading.certificate),
        "verification": None
        if proof is None
        else {"verified": list(proof.verified), "trusted": list(proof.trusted)},
    }
    return json.dumps(document, indent=2).encode() + b"\n"


def facts(reading: Reading) -> Iterator[tuple[str, str]]:
    """What the payload is, and whose signatures certify it, for people."""
    header = payload_header(reading.ssz)
    yield "height", str(header.height)
    yield "block hash", f"0x{header.block_hash.hex()}"
    yield "parent hash", f"0x{header.parent_hash.hex()}"
    yield "time", _time(header.timestamp)
    yield "transactions", str(header.transactions_count)
    yield "gas used", f"{header.gas_used} of {header.gas_limit}"
    yield "version", f"V{header.version}"
    yield "SSZ bytes", str(len(reading.ssz))
    yield "log", f"entry {reading.index}, epoch {reading.epoch}"
    yield "from", str(reading.server)
    if reading.certificate is not None:
        certificate = reading.certificate.certificate
        signers = ", ".join(word.server_id for word in certificate.acknowledgements)
        yield "certificate", f"entry {certificate.index}, epoch {certificate.epoch}: {signers}"


def write(data: bytes, out: Path | None) -> None:
    """To stdout, or to a file that is there with all of it or not at all.

    ConfigError: the file cannot be written.
    """
    if out is None:
        click.echo(data, nl=False)
        return
    try:
        if out.exists() and not out.is_file():
            # A device or a pipe is written to, not replaced.
            out.write_bytes(data)
        else:
            _replace(out, data)
    except OSError as error:
        raise ConfigError(f"--out: {out} cannot be written: {error.strerror}") from error


def _replace(path: Path, data: bytes) -> None:
    target = path.resolve()
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        part.replace(target)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def _certificate_as_json(response: GetCertificateResponse) -> dict[str, Any]:
    certificate, membership = response.certificate, response.membership
    return {
        "certificate": {
            "epoch": certificate.epoch,
            "index": certificate.index,
            "previous_digest": certificate.previous_digest.hex(),
            "kind": certificate.kind,
            "body_hash": certificate.body_hash.hex(),
            "acknowledgements": [
                {
                    "server_id": word.server_id,
                    "incarnation": word.incarnation,
                    "epoch": word.epoch,
                    "index": word.index,
                    "digest": word.digest.hex(),
                    "signature": word.signature.hex(),
                }
                for word in certificate.acknowledgements
            ],
        },
        "cluster_id": response.cluster_id.hex(),
        "membership": {
            "members": [member_as_json(member) for member in membership.members],
            "quorum_rule": membership.quorum_rule,
            "version": membership.version,
        },
        **({"head": _head_as_json(response.head)} if response.HasField("head") else {}),
    }


def _head_as_json(head: Head) -> dict[str, Any]:
    return {
        "height": head.height,
        "block_hash": head.block_hash.hex(),
        "parent_hash": head.parent_hash.hex(),
        "body_hash": head.body_hash.hex(),
    }


def _time(unix_seconds: int) -> str:
    try:
        time = datetime.fromtimestamp(unix_seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return f"{unix_seconds} s"
    return time.isoformat().replace("+00:00", "Z")
