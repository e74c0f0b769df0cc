"""`op-conductor payload`: the forms it comes in, where from, and that --verify is strict."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from conductor.payload import json_from_ssz
from conductor.service import CertificateView, StoredPayload
from tests.api.fakes import HEAD
from tests.cli.certified import CertifiedConductor, a_log
from tests.cli.conftest import OpConductor
from tests.cli.servers import Servers


@pytest.fixture
def conductor() -> CertifiedConductor:
    return CertifiedConductor(a_log())


@pytest.fixture
def server(servers: Servers, conductor: CertifiedConductor) -> str:
    return servers.start(conductor)


def ssz_of(conductor: CertifiedConductor, height: int) -> bytes:
    return conductor.log.blocks[height][1].ssz


def test_newest_is_op_nodes_envelope_on_a_line(
    op_conductor: OpConductor, conductor: CertifiedConductor, server: str
) -> None:
    result = op_conductor("payload", "--server", server)

    assert result.exit_code == 0, result.stderr
    assert result.stdout_bytes == json_from_ssz(ssz_of(conductor, 3)) + b"\n"
    assert result.stderr == ""
    assert conductor.consistent_reads == [False]


@pytest.mark.parametrize("height", ["2", "0x2"])
def test_height_chooses_and_ssz_is_exact(
    op_conductor: OpConductor, conductor: CertifiedConductor, server: str, height: str
) -> None:
    result = op_conductor("payload", height, "-o", "ssz", "--server", server)

    assert result.exit_code == 0
    assert result.stdout_bytes == ssz_of(conductor, 2)


def test_table_tells_what_it_is(op_conductor: OpConductor, server: str) -> None:
    result = op_conductor("payload", "-o", "table", "--certificate", "--server", server)

    facts = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert facts["height"] == "3"
    assert facts["log"] == "entry 4, epoch 1"
    assert facts["certificate"] == "entry 4, epoch 1: node-1, node-2"


def test_certificate_comes_as_the_jsonrpc_document(
    op_conductor: OpConductor, conductor: CertifiedConductor, server: str
) -> None:
    import msgspec

    from conductor.api.documents import certificate_document

    result = op_conductor("payload", "--certificate", "--server", server)

    shown = json.loads(result.stdout)
    expected = msgspec.to_builtins(certificate_document(conductor.certificate()))
    assert {name: shown[name] for name in expected} == expected
    assert shown["payload"] == json.loads(json_from_ssz(ssz_of(conductor, 3)))
    assert (shown["index"], shown["epoch"]) == (4, 1)
    assert shown["verification"] is None


def test_consistent_read_is_asked_for(
    op_conductor: OpConductor, conductor: CertifiedConductor, server: str
) -> None:
    op_conductor("payload", "--consistent", "--server", server)

    assert conductor.consistent_reads == [True]


def test_what_is_not_there_is_an_error(op_conductor: OpConductor, server: str) -> None:
    result = op_conductor("payload", "99", "--server", server)

    assert result.exit_code == 1
    assert result.stderr == f"error: {server}: no certified payload of height 99 is held\n"
    assert result.stdout == ""


def test_first_server_that_has_it_is_enough(
    op_conductor: OpConductor, servers: Servers, server: str, closed_port: str
) -> None:
    empty = servers.start(CertifiedConductor(a_log(payloads=0)))

    result = op_conductor("payload", "2", "--server", f"{closed_port},{empty},{server}")

    assert result.exit_code == 0
    assert f"warning: {closed_port} does not answer" in result.stderr
    assert f"warning: {empty}: no certified payload of height 2" in result.stderr
    assert json.loads(result.stdout)["executionPayload"]["blockNumber"] == "0x2"


def test_file_is_replaced_by_the_whole(
    op_conductor: OpConductor, conductor: CertifiedConductor, server: str, tmp_path: Path
) -> None:
    out = tmp_path / "head.ssz"
    out.write_bytes(b"old")

    result = op_conductor("payload", "-o", "ssz", "--out", str(out), "--server", server)

    assert result.exit_code == 0
    assert result.stdout == ""
    assert out.read_bytes() == ssz_of(conductor, 3)
    assert str(out) in result.stderr
    assert list(tmp_path.iterdir()) == [out]


def test_nothing_is_left_of_a_file_that_cannot_be_written(
    op_conductor: OpConductor, server: str, tmp_path: Path
) -> None:
    out = tmp_path / "missing" / "head.json"

    result = op_conductor("payload", "--out", str(out), "--server", server)

    assert result.exit_code == 2
    assert f"--out: {out} cannot be written: No such file or directory" in result.stderr


def test_what_is_no_file_is_written_to_and_not_replaced(
    op_conductor: OpConductor, conductor: CertifiedConductor, server: str, tmp_path: Path
) -> None:
    """A pipe stands for every device: a test that fails must not replace one of the machine's."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        result = op_conductor("payload", "-o", "ssz", "--out", str(pipe), "--server", server)
        received = os.read(reader, 65536)
    finally:
        os.close(reader)

    assert result.exit_code == 0
    assert pipe.is_fifo()
    assert received == ssz_of(conductor, 3)


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ("1 --consistent", "leave out HEIGHT or it"),
        ("--cluster-id " + "00" * 32, "add --verify"),
        ("-o ssz --certificate", "leave out --certificate"),
        ("--verify --cluster-id 00", "has 64 hex digits"),
        ("-1", "No such option"),
        ("latest", "is no block number"),
        ("0x10000000000000000", "is no block number"),
    ],
)
def test_what_makes_no_sense_is_refused_at_once(
    op_conductor: OpConductor, closed_port: str, arguments: str, hint: str
) -> None:
    result = op_conductor("payload", *arguments.split(), "--server", closed_port)

    assert result.exit_code == 2
    assert hint in result.stderr


def test_verified_says_what_was_verified_and_what_trusted(
    op_conductor: OpConductor, conductor: CertifiedConductor, server: str
) -> None:
    cluster_id = conductor.log.genesis.cluster_id.hex()

    result = op_conductor("payload", "--verify", "--cluster-id", cluster_id, "--server", server)

    assert result.exit_code == 0, result.stderr
    assert result.stdout_bytes == json_from_ssz(ssz_of(conductor, 3)) + b"\n"
    assert [line.split(" ", 1)[0] for line in result.stderr.splitlines()] == [
        *(4 * ["verified:"]),
        *(2 * ["trusted:"]),
    ]
    assert "entry 4 of epoch 1 is certified: node-1, node-2 signed" in result.stderr


def test_verification_is_part_of_the_document(op_conductor: OpConductor, server: str) -> None:
    result = op_conductor("payload", "--verify", "--certificate", "--server", server)

    verification = json.loads(result.stdout)["verification"]
    assert len(verification["verified"]) == 3
    assert any("--cluster-id" in sentence for sentence in verification["trusted"])


@pytest.mark.parametrize("signers", [(1,), (2, 2)])
def test_too_few_signatures_write_nothing(
    op_conductor: OpConductor,
    conductor: CertifiedConductor,
    server: str,
    tmp_path: Path,
    signers: tuple[int, ...],
) -> None:
    conductor.signers = signers
    out = tmp_path / "head.json"

    result = op_conductor("payload", "--verify", "--out", str(out), "--server", server)

    assert result.exit_code == 1
    assert "error: " in result.stderr
    assert not out.exists()


def test_older_payload_is_not_proven_by_a_certificate_after_it(
    op_conductor: OpConductor, server: str
) -> None:
    result = op_conductor("payload", "2", "--verify", "--server", server)

    assert result.exit_code == 1
    assert result.stdout == ""
    assert "error: not proven: the newest certificate is that of entry 4" in result.stderr


def test_certificate_that_is_late_is_waited_for(
    op_conductor: OpConductor, conductor: CertifiedConductor, server: str
) -> None:
    """The certificate of a payload is known a moment after it is certified elsewhere."""
    conductor.certificate_lags = 2

    assert op_conductor("payload", "--verify", "--server", server).exit_code == 0


def test_payload_of_a_cluster_that_went_on_from_another_is_verified(
    op_conductor: OpConductor, servers: Servers
) -> None:
    """The cluster id is made of the block that it went on from, too."""
    conductor = CertifiedConductor(a_log(head=HEAD))

    result = op_conductor(
        "payload", "--verify", "--certificate", "--server", servers.start(conductor)
    )

    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["head"] == {
        "height": HEAD.block.height,
        "block_hash": HEAD.block.block_hash.hex(),
        "parent_hash": HEAD.block.parent_hash.hex(),
        "body_hash": HEAD.body_hash.hex(),
    }


def test_head_that_moves_on_between_two_calls_is_read_again(
    op_conductor: OpConductor, servers: Servers
) -> None:
    conductor = MovingConductor(a_log())

    result = op_conductor("payload", "--verify", "--server", servers.start(conductor))

    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["executionPayload"]["blockNumber"] == "0x6"


class MovingConductor(CertifiedConductor):
    """Certifies another payload just before each answer, up to the sixth."""

    def certificate(self) -> CertificateView:
        self._move_on()
        return super().certificate()

    async def latest(self, *, consistent: bool) -> StoredPayload:
        self._move_on()
        return await super().latest(consistent=consistent)

    def _move_on(self) -> None:
        if len(self.log.blocks) < 6:
            self.log.extend()
