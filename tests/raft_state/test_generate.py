"""The state of new clusters: what is in it, and that it appears as a whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from conductor.errors import Refused, StoreError, StoreFull, StoreLocked
from raft_state.bolt import check_database, open_database
from raft_state.generate import (
    ClusterRequest,
    GenerateReport,
    LeaderMode,
    generate_cluster,
    make_plan,
)
from raft_state.raft import Suffrage, configuration_of, decode_entry
from tests.raft_state.bolt_walk import walk

GOLDEN = Path(__file__).parent / "golden"

Configurations = list[list[tuple[str, str, int]]]
Tree = Mapping[str, bytes | None]

ONE = bytes(7) + b"\x01"


def a_request(count: int = 3, **changes: object) -> ClusterRequest:
    request = ClusterRequest(
        addresses=[f"seq-{number}.ns:50050" for number in range(1, count + 1)],
        server_ids=[f"seq-{number}" for number in range(1, count + 1)],
        initial_leader="seq-1",
    )
    return replace(request, **changes)  # type: ignore[arg-type] # the fields of a request


def write(request: ClusterRequest, output_dir: Path, *, force: bool = False) -> GenerateReport:
    return generate_cluster(request, output_dir, force=force, settled=lambda: None)


def configurations(directory: Path) -> Configurations:
    """The configuration in each entry of a node's log."""
    found: Configurations = []
    for index, (key, value) in enumerate(walk(directory / "raft-log.db").buckets[b"logs"], 1):
        decoded = decode_entry(value)
        assert decoded.remarks == ()
        assert (int.from_bytes(key, "big"), decoded.entry.index) == (index, index)
        assert decoded.entry.appended_at is not None
        assert decoded.entry.appended_at.is_zero
        configuration = configuration_of(decoded.entry)
        assert configuration is not None
        found.append([(s.server_id, s.address, s.suffrage) for s in configuration.servers])
    return found


def terms(directory: Path) -> list[int]:
    items = walk(directory / "raft-log.db").buckets[b"logs"]
    return [decode_entry(value).entry.term for _, value in items]


def stable(directory: Path) -> dict[bytes, bytes]:
    return dict(walk(directory / "raft-stable.db").buckets[b"conf"])


def tree(directory: Path) -> Tree:
    """Everything below a directory, with the content of files."""
    return {
        path.relative_to(directory).as_posix(): None if path.is_dir() else path.read_bytes()
        for path in directory.rglob("*")
    }


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "raft-state"


@pytest.fixture
def old_state(out: Path) -> Tree:
    """A cluster that has run, with snapshots, and what others keep beside its directories."""
    write(a_request(initial_term=9), out)
    (out / "seq-1/snapshots/9-40-1700000000000").mkdir(parents=True)
    (out / "seq-1/snapshots/9-40-1700000000000/meta.json").write_text("{}")
    (out / "seq-2/notes.txt").write_text("mine")
    (out / "README").write_text("ours")
    (out / "seq-9").mkdir()
    (out / "seq-9/raft-log.db").write_text("another cluster's")
    return tree(out)


@pytest.mark.parametrize("golden", ["gen1", "gen3"])
def test_vote_layout_is_that_of_the_original_tool(out: Path, golden: str) -> None:
    names = [f"sequencer-{number}" for number in range(1, int(golden[-1]) + 1)]
    addresses = [f"{name}.ns.svc.cluster.local:50050" for name in names]

    write(ClusterRequest(addresses, names, "sequencer-1"), out)

    assert sorted(path.name for path in out.iterdir()) == names
    for path in sorted(out.rglob("*.db")):
        with open_database(GOLDEN / "r173-bb139" / golden / path.relative_to(out)) as database:
            expected = {
                name: [(key, bytes(value)) for key, value in bucket.items()]
                for name, bucket in database.buckets()
            }
        assert walk(path).buckets == expected


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7])
@pytest.mark.parametrize("term", [1, 5, 2**63 - 1])
@pytest.mark.parametrize("mode", list(LeaderMode))
def test_nodes_begin_in_the_term_that_was_asked_for(
    out: Path, count: int, term: int, mode: LeaderMode
) -> None:
    write(a_request(count, initial_term=term, leader_mode=mode), out)

    for number in range(1, count + 1):
        assert set(terms(out / f"seq-{number}")) == {term}
        assert stable(out / f"seq-{number}")[b"CurrentTerm"] == term.to_bytes(8, "big")


def test_vote_layout_has_one_configuration_everywhere_and_a_vote_at_the_leader(out: Path) -> None:
    write(a_request(initial_leader="seq-2", nonvoters=["seq-3"]), out)

    members = [
        ("seq-1", "seq-1.ns:50050", Suffrage.VOTER),
        ("seq-2", "seq-2.ns:50050", Suffrage.VOTER),
        ("seq-3", "seq-3.ns:50050", Suffrage.NONVOTER),
    ]
    assert [configurations(out / name) for name in ("seq-1", "seq-2", "seq-3")] == [[members]] * 3
    assert stable(out / "seq-1") == stable(out / "seq-3") == {b"CurrentTerm": ONE}
    assert stable(out / "seq-2") == {
        b"CurrentTerm": ONE,
        b"LastVoteCand": b"seq-2",
        b"LastVoteTerm": ONE,
    }


def test_enforced_layout_makes_others_voters_in_the_leaders_log_alone(out: Path) -> None:
    write(
        a_request(initial_leader="seq-2", nonvoters=["seq-3"], leader_mode=LeaderMode.ENFORCED),
        out,
    )

    suffrages = {
        name: [[suffrage for _, _, suffrage in members] for members in configurations(out / name)]
        for name in ("seq-1", "seq-2", "seq-3")
    }
    voter, nonvoter = Suffrage.VOTER, Suffrage.NONVOTER
    alone, asked_for = [nonvoter, voter, nonvoter], [voter, voter, nonvoter]
    assert suffrages == {"seq-1": [alone], "seq-2": [alone, asked_for], "seq-3": [alone]}
    assert all(stable(out / name) == {b"CurrentTerm": ONE} for name in suffrages)


def test_databases_pass_the_check_and_have_both_buckets(out: Path) -> None:
    write(a_request(), out)

    for path in out.rglob("*.db"):
        with open_database(path) as database:
            assert list(check_database(database)) == []
            assert [name for name, _ in database.buckets()] == [b"conf", b"logs"]


def test_order_of_members_is_kept(out: Path) -> None:
    names = ["b", "c", "a"]

    write(ClusterRequest(["x:3", "x:2", "x:1"], names, "c"), out)

    assert [name for name, _, _ in configurations(out / "a")[0]] == names


@pytest.mark.parametrize(
    "address",
    ["[::1]:50050", f"{'sequencer-1.a-very-long-namespace.' * 5}svc.cluster.local:50050"],
)
def test_addresses_are_stored_as_they_were_written(out: Path, address: str) -> None:
    write(ClusterRequest([address], ["seq-1"], "seq-1"), out)

    assert configurations(out / "seq-1") == [[("seq-1", address, Suffrage.VOTER)]]


def test_same_request_gives_the_same_bytes(tmp_path: Path) -> None:
    write(a_request(), tmp_path / "1")
    write(a_request(), tmp_path / "2")

    assert tree(tmp_path / "1") == tree(tmp_path / "2")


def test_files_are_private_and_directories_are_as_op_conductor_makes_them(out: Path) -> None:
    write(a_request(1), out)

    modes = {path.name: path.stat().st_mode & 0o777 for path in [out, *out.rglob("*")]}
    mask = os.umask(0)
    os.umask(mask)
    directory = 0o755 & ~mask
    assert modes == {
        "raft-state": directory,
        "seq-1": directory,
        "raft-log.db": 0o600,
        "raft-stable.db": 0o600,
    }


def test_nothing_but_the_output_is_left(tmp_path: Path) -> None:
    write(a_request(1), tmp_path / "missing" / "above" / "out")

    assert sorted(tree(tmp_path)) == [
        "missing",
        "missing/above",
        "missing/above/out",
        "missing/above/out/seq-1",
        "missing/above/out/seq-1/raft-log.db",
        "missing/above/out/seq-1/raft-stable.db",
    ]


def test_existing_state_is_named_and_not_replaced_unasked(out: Path, old_state: Tree) -> None:
    with pytest.raises(Refused) as caught:
        write(a_request(), out)

    for words in ("--force", "seq-1 (raft-log.db, raft-stable.db, snapshots)", "seq-3 ("):
        assert words in str(caught.value)
    assert tree(out) == old_state


def test_force_replaces_the_state_and_nothing_else(
    tmp_path: Path, out: Path, old_state: Tree
) -> None:
    fresh = tmp_path / "fresh"
    write(a_request(), fresh)

    report = write(a_request(), out, force=True)

    foreign = ("README", "seq-2/notes.txt", "seq-9", "seq-9/raft-log.db")
    assert tree(out) == {**tree(fresh), **{name: old_state[name] for name in foreign}}
    assert report.replaced == ("seq-1", "seq-2", "seq-3")


def test_new_nodes_join_a_directory_that_others_use(out: Path, old_state: Tree) -> None:
    report = write(ClusterRequest(["x:1"], ["seq-4"], "seq-4"), out)

    after = tree(out)
    assert {name: after[name] for name in old_state} == old_state
    assert len(after) == len(old_state) + 3
    assert report.replaced == ()


def test_empty_folder_of_a_node_is_no_obstacle(out: Path) -> None:
    (out / "seq-1").mkdir(parents=True)

    assert write(a_request(), out).replaced == ()

    assert configurations(out / "seq-1")


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("obstacle", ["file", "link", "folder"])
def test_what_is_no_state_is_never_replaced(
    tmp_path: Path, out: Path, force: bool, obstacle: str
) -> None:
    out.mkdir()
    if obstacle == "file":
        (out / "seq-2").write_text("mine")
    elif obstacle == "link":
        write(a_request(), tmp_path / "other")
        (out / "seq-2").symlink_to(tmp_path / "other/seq-2")
    else:
        (out / "seq-2/work").mkdir(parents=True)
    before = tree(tmp_path)

    with pytest.raises(Refused, match=r"seq-2 is "):
        write(a_request(), out, force=force)

    assert tree(tmp_path) == before


def test_node_directory_is_no_output_directory(out: Path) -> None:
    write(a_request(), out)
    before = tree(out)

    with pytest.raises(Refused, match="a node's own directory"):
        write(a_request(), out / "seq-1", force=True)

    assert tree(out) == before


def test_file_is_no_output_directory(out: Path) -> None:
    out.write_text("mine")

    with pytest.raises(Refused, match="no directory"):
        write(a_request(), out)

    assert out.read_text() == "mine"


def test_symbolic_link_to_the_output_directory_is_followed(tmp_path: Path, out: Path) -> None:
    (tmp_path / "volume").mkdir()
    out.symlink_to(tmp_path / "volume")

    write(a_request(1), out)

    assert out.is_symlink()
    assert configurations(tmp_path / "volume" / "seq-1")


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize("name", ["raft-log.db", "raft-stable.db"])
def test_state_of_a_running_conductor_is_not_replaced(
    out: Path, old_state: Tree, name: str, dry_run: bool
) -> None:
    def settled() -> None:
        pytest.fail("its directory was moved already")

    with (out / "seq-3" / name).open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)

        with pytest.raises(StoreLocked, match=rf"seq-3/{name} is in use"):
            generate_cluster(a_request(), out, force=True, dry_run=dry_run, settled=settled)

    assert tree(out) == old_state


def test_dry_run_refuses_what_a_run_would_refuse(out: Path, old_state: Tree) -> None:
    with pytest.raises(Refused, match="--force would replace"):
        generate_cluster(a_request(), out, dry_run=True)

    assert tree(out) == old_state


def test_dry_run_writes_nothing(tmp_path: Path, out: Path) -> None:
    report = generate_cluster(a_request(), out, dry_run=True)

    assert not report.written
    assert list(tmp_path.iterdir()) == []


def failing_call(patch: pytest.MonkeyPatch, name: str, fatal: int, error: int) -> list[int]:
    """The call with number `fatal` of a function of `os` fails; gives how many calls there were."""
    function = getattr(os, name)
    calls = [0]

    def call(*arguments: object, **options: object) -> object:
        calls[0] += 1
        if calls[0] == fatal:
            raise OSError(error, os.strerror(error))
        return function(*arguments, **options)

    patch.setattr(os, name, call)
    return calls


@pytest.mark.parametrize("name", ["rename", "mkdir", "fsync", "link"])
@pytest.mark.parametrize("exists", [False, True])
def test_failure_at_any_step_leaves_everything_as_it_was(
    tmp_path: Path, name: str, exists: bool, request: pytest.FixtureRequest
) -> None:
    if exists:
        request.getfixturevalue("old_state")
    out = tmp_path / ("raft-state" if exists else "a/b/raft-state")
    before = tree(tmp_path)
    fatal = 0
    while True:
        fatal += 1
        with pytest.MonkeyPatch.context() as patch:
            calls = failing_call(patch, name, fatal, errno.EIO)
            try:
                write(a_request(), out, force=True)
            except StoreError as error:
                assert "Input/output error" in str(error)  # noqa: PT017 - the last run succeeds
                assert tree(tmp_path) == before
                continue
        break
    assert calls[0] == fatal - 1 > 0
    assert configurations(out / "seq-1")


def test_full_disk_is_named(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing_call(monkeypatch, "fsync", 2, errno.ENOSPC)

    with pytest.raises(StoreFull, match="No space left"):
        write(a_request(), out)

    assert not out.exists()


def test_working_directory_of_a_killed_run_is_pointed_at(out: Path) -> None:
    (out / ".generating-0000/old/seq-1").mkdir(parents=True)

    report = write(a_request(), out)

    assert ".generating-0000 was left" in report.warnings[0]
    assert (out / ".generating-0000/old/seq-1").is_dir()


def test_effect_says_what_raft_makes_of_the_leader() -> None:
    def effect(request: ClusterRequest) -> str:
        return generate_cluster(request, Path("/nowhere/at/all"), dry_run=True).effect

    vote = effect(a_request(5, nonvoters=["seq-5"], initial_term=7))
    assert "no effect" in vote
    assert "term 8" in vote
    assert "1 in 4" in vote
    assert "wins the first election every time" in effect(
        a_request(leader_mode=LeaderMode.ENFORCED)
    )
    assert "always leads" in effect(a_request(1))


@pytest.mark.parametrize(
    ("count", "words"),
    [(1, "one voter"), (2, "2 voters need 2"), (3, ""), (4, "no more failures than 3")],
)
def test_number_of_voters_is_remarked_on(count: int, words: str) -> None:
    warnings = make_plan(a_request(count)).warnings

    assert len(warnings) == bool(words)
    assert words in "".join(warnings)
