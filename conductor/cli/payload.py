"""`op-conductor payload`: get a certified payload, and check that it is one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from conductor.cli.client_options import PAYLOAD_OPTIONS, ServerLists, named_servers
from conductor.cli.words import printable, say, say_error
from conductor.errors import ConfigError
from conductor.exit_codes import ExitCode

if TYPE_CHECKING:
    from conductor.cli.payload_proof import Proof
    from conductor.cli.payload_reading import Reading

HEIGHT_MAX = 2**64 - 1

_EXAMPLES = """\b
Examples:
  The newest, as op-node's envelope; its block hash; or at a glance:
    op-conductor payload
    op-conductor payload | jq -r .executionPayload.blockHash
    op-conductor payload -o table
  That of block 1234567, as SSZ, into a file:
    op-conductor payload 1234567 -o ssz --out 1234567.ssz
  The newest there is, confirmed by a quorum, checked here against a known cluster id:
    op-conductor payload --consistent --verify --cluster-id 6f1c... > head.json
  With all that is needed to check it elsewhere:
    op-conductor payload --certificate --out head.json
"""


def parse_height(text: str) -> int:
    """A block number, decimal or with 0x; ConfigError when it is none."""
    try:
        height = int(text, 16 if text.lower().startswith("0x") else 10)
    except ValueError:
        height = -1
    if not 0 <= height <= HEIGHT_MAX:
        raise ConfigError(f"{text!r} is no block number: write it decimal, or hex with 0x")
    return height


def _height(text: str) -> int:
    try:
        return parse_height(text)
    except ConfigError as error:
        raise click.BadParameter(str(error)) from error


HEIGHT = click.Argument(["height"], type=_height, required=False, metavar="[HEIGHT]")


@click.command(params=[HEIGHT, *PAYLOAD_OPTIONS], epilog=_EXAMPLES)
def payload(
    height: int | None,
    server: ServerLists,
    output: str,
    out: Path | None,
    certificate: bool,
    verify: bool,
    cluster_id: bytes | None,
    consistent: bool,
    timeout_ms: int,
) -> int:
    """Get the certified payload of block HEIGHT, or the newest.

    Of several servers, the first that has it is enough. JSON is op-node's envelope on one line;
    with --certificate it is an object with the envelope as `payload`.

    --verify computes here that a quorum signed the newest certificate, and that the certified entry
    is this payload; stderr says what was verified and what had to be trusted. It can prove the
    payload that the certificate is for: the newest, unless a new leadership began since. An older
    one is covered by it too, but that is the server's word, so --verify fails.

    Exits with 0 when it is written, 1 when there is no such payload or it is not proven, 5 when
    --consistent was asked of another than the leader, 6 when no server answers.
    """
    if height is not None and consistent:
        raise click.UsageError("--consistent is about the newest payload: leave out HEIGHT or it")
    if cluster_id is not None and not verify:
        raise click.UsageError("--cluster-id is what --verify checks against: add --verify")
    if output == "ssz" and certificate:
        raise click.UsageError("SSZ has no place for a certificate: leave out --certificate")
    if output == "ssz" and out is None and sys.stdout.isatty():
        raise click.UsageError("SSZ is binary, and this is a terminal: add --out FILE, or pipe it")
    # Imported here so that `--help` does not wait for gRPC.
    from conductor.cli.client import Conductors
    from conductor.cli.payload_reading import Wish, read_payload

    wish = Wish(height, consistent, with_certificate=certificate or verify)
    with Conductors(timeout_ms) as conductors:
        reading = read_payload(conductors, named_servers(server), wish)
        proof = _check(conductors, reading, wish, cluster_id) if verify else None
    if proof is not None and not _tell(proof):
        return ExitCode.ERROR
    _write(reading, proof, output=output, certificate=certificate, out=out)
    return ExitCode.OK


def _check(conductors: Any, reading: Reading, wish: Any, cluster_id: bytes | None) -> Proof:
    from conductor.cli.payload_proof import Proof, check_claim
    from conductor.cli.payload_reading import claim_of
    from conductor.errors import InvalidArgument

    try:
        claim = claim_of(conductors, reading, wish)
    except InvalidArgument as error:
        return Proof(problem=f"{reading.server} answers what is no certificate: {error}")
    return check_claim(claim, cluster_id)


def _tell(proof: Proof) -> bool:
    """Say what was found; whether the payload is proven."""
    for sentence in proof.verified:
        say(f"verified: {sentence}")
    for sentence in proof.trusted:
        say(f"trusted: {sentence}")
    if not proof.holds:
        say_error(proof.problem)
    return proof.holds


def _write(
    reading: Reading, proof: Proof | None, *, output: str, certificate: bool, out: Path | None
) -> None:
    from conductor.cli import payload_showing

    if output == "ssz":
        data = reading.ssz
    elif output == "table":
        rows = payload_showing.facts(reading)
        data = "".join(f"{name:13}{printable(value)}\n" for name, value in rows).encode()
    elif certificate:
        data = payload_showing.document_json(reading, proof)
    else:
        data = payload_showing.envelope_json(reading)
    payload_showing.write(data, out)
    if out is not None:
        say(f"wrote {len(data)} bytes to {out}")
