"""What `migrate` has made, for people and for programs."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from typing import Any

import click

from conductor.cli.terminal import stdout_console, table_of
from conductor.cli.words import print_json, printable, say
from conductor.core.values import BlockReference
from conductor.migration import FromRaftReport, ToRaftReport


def show_from_raft(report: FromRaftReport, *, as_json: bool) -> None:
    """Print what a store was made from, or would be."""
    head = report.head
    block = head.block if head is not None else None
    if as_json:
        print_json(
            {
                "made": report.is_made,
                "server_id": report.server_id,
                "state_dir": str(report.state_dir),
                "data_dir": str(report.data_dir),
                "voters": [
                    {"server_id": voter.server_id, "grpc_address": voter.grpc_address}
                    for voter in report.voters
                ],
                "first_epoch": report.first_epoch,
                "initial_leader": report.initial_leader,
                "head": _head(block, report.payload_bytes),
                "remarks": list(report.remarks),
            }
        )
        return
    done = "made the store in" if report.is_made else "would make the store in"
    _print_facts(
        (
            ("server", report.server_id),
            ("first epoch", str(report.first_epoch)),
            ("initial leader", report.initial_leader or "none is named"),
            ("newest block", _block_text(block, report.payload_bytes)),
        )
    )
    console = stdout_console()
    rows = [(voter.server_id, voter.grpc_address) for voter in report.voters]
    console.print(table_of(console, ("voter", "grpc address"), rows))
    click.echo(f"{done} {printable(str(report.data_dir))}")
    _tell(report.remarks)
    if report.is_made:
        options = ["--server-id", report.server_id, "--data-dir", str(report.data_dir)]
        say(f"start it when all servers have theirs: op-conductor run {shlex.join(options)}")


def show_to_raft(report: ToRaftReport, *, as_json: bool) -> None:
    """Print what Raft states were written, or would be."""
    if as_json:
        print_json(
            {
                "written": report.is_written,
                "output_dir": str(report.output_dir),
                "stores": list(report.stores),
                "term": report.term,
                "members": [
                    {
                        "server_id": member.server_id,
                        "address": member.address,
                        "suffrage": member.suffrage,
                        "directory": str(member.directory),
                    }
                    for member in report.members
                ],
                "head": _head(report.block, report.payload_bytes),
                "certified": report.is_certified,
                "index": report.payload_index,
                "remarks": list(report.remarks),
                "next_steps": list(report.next_steps),
            }
        )
        return
    block = _block_text(report.block, report.payload_bytes)
    if report.block is not None and not report.is_certified:
        block += ", not known to be certified"
    _print_facts(
        (
            ("stores of", ", ".join(report.stores)),
            ("term", str(report.term)),
            ("newest block", block),
        )
    )
    console = stdout_console()
    rows = [
        (member.server_id, member.address, member.suffrage, str(member.directory))
        for member in report.members
    ]
    console.print(table_of(console, ("member", "address", "suffrage", "directory"), rows))
    done = "wrote Raft states into" if report.is_written else "would write Raft states into"
    click.echo(f"{done} {printable(str(report.output_dir))}")
    _tell(report.remarks)
    for number, step in enumerate(report.next_steps, 1):
        say(f"{number}. {step}")


def _head(block: BlockReference | None, payload_bytes: int) -> dict[str, Any] | None:
    if block is None:
        return None
    return {
        "height": block.height,
        "block_hash": "0x" + block.block_hash.hex(),
        "parent_hash": "0x" + block.parent_hash.hex(),
        "payload_bytes": payload_bytes,
    }


def _block_text(block: BlockReference | None, payload_bytes: int) -> str:
    if block is None:
        return "none: it holds no payload"
    return f"{block.height}, hash 0x{block.block_hash.hex()}, {payload_bytes} bytes"


def _print_facts(facts: Sequence[tuple[str, str]]) -> None:
    for name, value in facts:
        click.echo(f"{name + ':':16}{printable(value)}")


def _tell(remarks: Iterable[str]) -> None:
    for remark in remarks:
        say(f"note: {remark}")
