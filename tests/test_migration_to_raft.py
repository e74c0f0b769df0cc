"""Stopped clusters of conductors as Raft states: what is taken along, and what is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from conductor.config import Config
from conductor.core.founding import Founding, FoundingVoter, RaftEnd
from conductor.core.values import Epoch, ServerId
from conductor.errors import (
    ConductorError,
    ConfigError,
    NotFound,
    Refused,
    StoreDamaged,
    StoreLocked,
    StoreMismatch,
)
from conductor.migration import ToRaftReport, read_beginning, write_raft_states
from conductor.payload import encode
from conductor.store import open_store
from raft_state.node import newest_payload, node_directories, open_node
from raft_state.raft import Configuration, EntryType, Server, Suffrage
from raft_state.verify import Severity, verify_state
from tests.payload.builders import EMPTY_TRIE_ROOT, an_envelope
from tests.stopped_clusters import Log, StoppedStores, head_of, ssz_of


@pytest.fixture
def stores(tmp_path: Path) -> StoppedStores:
    return StoppedStores(tmp_path / "stores")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "raft"


def five_blocks(stores: StoppedStores) -> Log:
    """Entry 1 begins epoch 7; entries 2 to 6 are the blocks 101 to 105."""
    log = stores.log().begin(7, stores.voter("b"))
    return log.extend(*(ssz_of(height) for height in range(101, 106)))


def written(
    stores: StoppedStores,
    out: Path,
    names: str = "",
    *,
    nodes: dict[str, str] | None = None,
    without_quorum: bool = False,
) -> ToRaftReport:
    return write_raft_states(
        stores.directories(names), out, addresses=nodes or {}, without_quorum=without_quorum
    )


def test_all_members_get_the_same_log_with_the_newest_payload(
    stores: StoppedStores, out: Path
) -> None:
    stores.write("abc", five_blocks(stores), certified=6, promised=9)

    report = written(stores, out)

    assert (report.term, report.is_certified, report.payload_index) == (9, True, 6)
    assert report.block == head_of(ssz_of(105)).block
    assert [path.name for path in node_directories(out)] == ["a", "b", "c"]
    for directory in node_directories(out):
        with open_node(directory) as node:
            assert node.log is not None
            entries = [stored.decoded.entry for stored in node.log.entries() if stored.decoded]
            assert [(entry.index, entry.term, entry.type) for entry in entries] == [
                (1, 9, EntryType.CONFIGURATION),
                (2, 9, EntryType.COMMAND),
            ]
            newest = newest_payload(node)
            assert newest is not None
            assert bytes(newest.data) == ssz_of(105)
            assert node.stable is not None
            assert node.stable.current_term == 9
            current = node.latest_configuration()
            assert current is not None
            assert current.configuration == Configuration(
                tuple(Server(name, f"host-{name}:18080", Suffrage.VOTER) for name in "abc")
            )


def test_what_is_written_passes_the_checks_of_raft_states(stores: StoppedStores, out: Path) -> None:
    stores.write("abc", five_blocks(stores), certified=6)

    written(stores, out)

    findings = verify_state(out).findings
    assert [finding for finding in findings if finding.severity is Severity.ERROR] == []


def test_what_is_written_can_be_begun_with_again(stores: StoppedStores, out: Path) -> None:
    """And whoever led last leads first."""
    stores.write("abc", five_blocks(stores), certified=6)
    written(stores, out)

    beginning = read_beginning(Config(server_id="b"), out / "b")

    assert beginning.payload == ssz_of(105)
    assert beginning.founding.first_promise == 7
    assert beginning.founding.initial_leader == "b"
    assert beginning.founding.raft_end == RaftEnd(7, 2, head_of(ssz_of(105)))


def test_raft_addresses_can_be_named(stores: StoppedStores, out: Path) -> None:
    stores.write("abc", five_blocks(stores), certified=6)

    report = written(stores, out, nodes={"a": "seq-1:50050", "c": "10.0.0.3:50050"})

    addresses = [member.address for member in report.members]
    assert addresses == ["seq-1:50050", "host-b:18080", "10.0.0.3:50050"]
    (remark,) = report.remarks
    assert "[b] keep the gRPC addresses" in remark


# Which log counts


def test_end_of_the_best_log_is_kept_though_no_certificate_covers_it(
    stores: StoppedStores, out: Path
) -> None:
    """The next leader would have taken it over, and another's certificate may cover it."""
    log = five_blocks(stores)
    stores.write("a", log, certified=4)
    stores.write("b", log.up_to(5), certified=4)
    stores.write("c", log.up_to(4), certified=4)

    report = written(stores, out)

    assert report.block == head_of(ssz_of(105)).block
    assert not report.is_certified
    assert any("whether block 105 was certified is not known" in said for said in report.remarks)


def test_certificate_of_any_store_covers_the_best_log(stores: StoppedStores, out: Path) -> None:
    log = five_blocks(stores)
    stores.write("a", log, certified=0)
    stores.write("bc", log, certified=6)

    assert written(stores, out).is_certified


def test_newer_epoch_is_better_than_a_longer_log(stores: StoppedStores, out: Path) -> None:
    """The tail of a leader that was deposed was never certified."""
    log = five_blocks(stores)
    newer = log.up_to(4).begin(8, stores.voter("c")).extend(ssz_of(104, 1))
    stores.write("a", log, certified=4)
    stores.write("bc", newer, certified=6)

    report = written(stores, out)

    assert report.block == head_of(ssz_of(104, 1)).block
    assert (report.term, report.is_certified) == (8, True)


@pytest.mark.parametrize("names", ["ab", "bc", "ac"])
def test_quorum_of_stores_is_enough(stores: StoppedStores, out: Path, names: str) -> None:
    """Block 105 was certified by two, whichever: one of them is always among the stores."""
    log = five_blocks(stores)
    stores.write("ab", log)
    stores.write("c", log.up_to(5), certified=5)

    assert written(stores, out, names).block == head_of(ssz_of(105)).block


def test_too_few_stores_are_refused_unless_the_others_are_lost(
    stores: StoppedStores, out: Path
) -> None:
    stores.write("abc", five_blocks(stores), certified=6)

    with pytest.raises(Refused, match=r"\[a, b\] are not among these stores.* add 1") as refusal:
        written(stores, out, "c")
    assert "--without-quorum" in str(refusal.value)
    assert not out.exists()

    report = written(stores, out, "c", without_quorum=True)
    assert report.stores == ("c",)
    assert any("what they alone had certified is lost" in said for said in report.remarks)


@pytest.mark.parametrize(
    ("count", "rule", "enough"), [(4, 0, 2), (5, 0, 3), (3, 3, 1), (3, 1, 3), (1, 0, 1)]
)
def test_enough_is_what_every_quorum_has_one_of(
    tmp_path: Path, out: Path, count: int, rule: int, enough: int
) -> None:
    names = "abcde"[:count]
    stores = StoppedStores(tmp_path / "stores", names, quorum_rule=rule)
    stores.write(names, stores.log().begin(1, stores.voter("a")).extend(ssz_of(1)), certified=2)

    if enough > 1:
        with pytest.raises(Refused):
            written(stores, out, names[: enough - 1])
    written(stores, out, names[:enough])


def test_store_that_was_made_anew_does_not_count_as_the_voter(
    stores: StoppedStores, out: Path, tmp_path: Path
) -> None:
    stores.write("abc", five_blocks(stores), certified=6)
    wiped = tmp_path / "wiped"
    store = open_store(wiped, "b")
    store.load()
    store.set_genesis(stores.genesis)
    store.close()

    with pytest.raises(Refused, match=r"\[a, b\] are not among"):
        write_raft_states([stores.directory("c"), wiped], out, addresses={})


def test_pruned_log_still_has_the_newest_payload(stores: StoppedStores, out: Path) -> None:
    stores.write("abc", five_blocks(stores), certified=6, pruned=5)

    assert written(stores, out).block == head_of(ssz_of(105)).block


# Without a payload in the log


def test_cluster_that_never_had_a_payload_has_none_in_raft(
    stores: StoppedStores, out: Path
) -> None:
    stores.write("abc", stores.log().begin(3, stores.voter("a")), certified=1)

    report = written(stores, out)

    assert (report.block, report.payload_index, report.term) == (None, None, 3)
    assert any("no payload was ever certified" in said for said in report.remarks)
    with open_node(out / "a") as node:
        assert newest_payload(node) is None


def test_cluster_that_never_had_a_leader_begins_with_term_1(
    stores: StoppedStores, out: Path
) -> None:
    assert written(stores, out).term == 1


def test_block_that_the_cluster_went_on_from_is_taken_along(tmp_path: Path, out: Path) -> None:
    """From Raft, and back before a single payload was certified."""
    stores = inherited(tmp_path, held_by="b")

    report = written(stores, out)

    assert report.block == head_of(ssz_of(100)).block
    assert (report.payload_index, report.is_certified) == (0, True)


def test_block_that_no_store_has_is_refused(tmp_path: Path, out: Path) -> None:
    stores = inherited(tmp_path, held_by="b")

    with pytest.raises(Refused, match=r"goes on from block 100.* of the voter that brought it"):
        written(stores, out, "ac")
    assert not out.exists()


def inherited(tmp_path: Path, held_by: str) -> StoppedStores:
    """A cluster that has just formed, and goes on from block 100."""
    ssz = ssz_of(100)
    voters = tuple(FoundingVoter(ServerId(name), f"host-{name}:18080") for name in "abc")
    founding = Founding(voters, Epoch(4), None, RaftEnd(4, 9, head_of(ssz)))
    return StoppedStores(tmp_path / "stores", head=head_of(ssz), bodies={held_by: (founding, ssz)})


# Payloads as op-conductor reads them


@pytest.mark.parametrize("version", [1, 2])
def test_payload_of_before_ecotone_is_refused(
    stores: StoppedStores, out: Path, version: int
) -> None:
    log = stores.log().begin(1, stores.voter("a")).extend(ssz_of(5, version=version))
    stores.write("abc", log, certified=2)

    with pytest.raises(Refused, match=f"block 5, is a V{version} payload"):
        written(stores, out)
    assert not out.exists()


@pytest.mark.parametrize("root", [None, bytes.fromhex(EMPTY_TRIE_ROOT.removeprefix("0x"))])
def test_payload_keeps_its_bytes(stores: StoppedStores, out: Path, root: bytes | None) -> None:
    """Also a V4 one with the root of an empty tree: op-conductor reads it, though it writes V3."""
    envelope = an_envelope(3 if root is None else 4)
    ssz = encode(dataclasses.replace(envelope, withdrawals_root=root))
    log = stores.log().begin(1, stores.voter("a")).extend(ssz)
    stores.write("abc", log, certified=2)

    written(stores, out)

    with open_node(out / "a") as node:
        newest = newest_payload(node)
        assert newest is not None
        assert bytes(newest.data) == ssz


# Refusals


@pytest.mark.parametrize(
    ("case", "error", "problem"),
    [
        ("twice", ConfigError, "is named twice"),
        ("no store", NotFound, "holds no store"),
        ("not formed", StoreMismatch, "belongs to no cluster yet"),
        ("another cluster", StoreMismatch, "are of different clusters"),
        ("a copy", StoreMismatch, "are all stores of 'a'"),
        ("a stranger", ConfigError, r"--nodes names \[x\], but the members are \[a, b, c\]"),
        ("an address", ConfigError, "--nodes: 'host' names no port"),
        ("in the way", Refused, "nothing was written"),
    ],
)
def test_what_cannot_be_taken_along_is_refused_and_nothing_is_written(
    stores: StoppedStores,
    tmp_path: Path,
    out: Path,
    case: str,
    error: type[ConductorError],
    problem: str,
) -> None:
    stores.write("abc", five_blocks(stores), certified=6)
    directories, nodes = stores.directories(), {}
    if case == "twice":
        directories.append(stores.directory("a") / ".." / "a")
    elif case == "no store":
        directories.append(tmp_path / "nowhere")
    elif case == "not formed":
        open_store(tmp_path / "new", "a").close()
        directories[0] = tmp_path / "new"
    elif case == "another cluster":
        other = StoppedStores(tmp_path / "others")
        directories[0] = other.directory("a")
    elif case == "a copy":
        store = open_store(tmp_path / "copy", "a")
        store.load()
        store.set_genesis(stores.genesis)
        store.close()
        directories.append(tmp_path / "copy")
    elif case == "a stranger":
        nodes = {"x": "host:1"}
    elif case == "an address":
        nodes = {"a": "host"}
    else:
        (out / "b").mkdir(parents=True)
        (out / "b" / "raft-log.db").write_bytes(b"")
    before = sorted(out.rglob("*"))

    with pytest.raises(error, match=problem):
        write_raft_states(directories, out, addresses=nodes)

    assert sorted(out.rglob("*")) == before
    assert not (tmp_path / "nowhere").exists()


def test_store_that_a_conductor_uses_is_refused(stores: StoppedStores, out: Path) -> None:
    stores.write("abc", five_blocks(stores), certified=6)
    used = open_store(stores.directory("b"), "b")

    with pytest.raises(StoreLocked, match="used by another process"):
        written(stores, out)
    used.close()

    assert written(stores, out).block is not None


def test_logs_that_contradict_each_other_are_refused(stores: StoppedStores, out: Path) -> None:
    log = five_blocks(stores)
    stores.write("a", log, certified=6)
    other = log.up_to(5).extend(ssz_of(105, 1))
    stores.write("b", other)

    with pytest.raises(StoreDamaged, match="contradict each other at entry 6 of epoch 7"):
        written(stores, out)


def test_certified_entry_that_the_best_log_lacks_is_refused(
    stores: StoppedStores, out: Path
) -> None:
    log = five_blocks(stores)
    stores.write("a", log, certified=6)
    stores.write("b", log.up_to(4).begin(8, stores.voter("b")))

    with pytest.raises(StoreDamaged, match="contradict each other at entry 6 of epoch 7"):
        written(stores, out)


def test_dry_run_says_the_same_and_writes_nothing(stores: StoppedStores, out: Path) -> None:
    stores.write("abc", five_blocks(stores), certified=6)

    dry = write_raft_states(stores.directories(), out, addresses={}, dry_run=True)

    assert not out.exists()
    assert not dry.is_written
    assert written(stores, out) == dataclasses.replace(dry, is_written=True)


def test_epoch_that_is_no_term_is_refused(stores: StoppedStores, out: Path) -> None:
    stores.write("abc", stores.log().begin(2**63, stores.voter("a")), certified=1)

    with pytest.raises(Refused, match="too high for a term of Raft"):
        written(stores, out)


def test_server_id_that_is_no_folder_is_refused(tmp_path: Path, out: Path) -> None:
    store = open_store(tmp_path / "store", "a/b")
    incarnation = store.load().incarnation
    stores = StoppedStores(tmp_path / "stores", "a")
    voter = dataclasses.replace(
        stores.voter("a"), server_id=ServerId("a/b"), incarnation=incarnation
    )
    store.set_genesis(dataclasses.replace(stores.genesis, voters=(voter,)))
    store.close()

    with pytest.raises(Refused, match="the server id 'a/b' has a path separator"):
        write_raft_states([tmp_path / "store"], out, addresses={})
