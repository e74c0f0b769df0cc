"""`verify`, the files: what is in the way before anything in them has a meaning."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from conductor.errors import NotFound
from raft_state.bolt import open_database
from raft_state.info import EntryQuery, describe
from raft_state.node import LOG_FILE, STABLE_FILE
from raft_state.raft import CONF, LOGS, StableState, stable_items
from raft_state.verify import Report, Rule, Severity, verify_state
from tests.raft_state.backup_states import running, tree
from tests.raft_state.bolt_images import image, inline_value, leaf, plain
from tests.raft_state.flawed_states import (
    GOLDEN,
    ID,
    IDS,
    SOUND,
    STABLE,
    add_snapshot,
    broken_rules,
    log_items,
    make_cluster,
    make_node,
)

LOG_ITEMS = log_items(SOUND)
CONF_ITEMS = stable_items(STABLE)

Make = Callable[[Path], Path]


def without(name: str) -> Make:
    """A node that misses a file."""

    def make(root: Path) -> Path:
        directory = make_node(root)
        (directory / name).unlink()
        return directory

    return make


def with_bytes(name: str, change: Callable[[bytes], bytes]) -> Make:
    """A node with other bytes in a file."""

    def make(root: Path) -> Path:
        directory = make_node(root)
        path = directory / name
        path.write_bytes(change(path.read_bytes()))
        return directory

    return make


def with_buckets(name: str, buckets: dict[bytes, list[tuple[bytes, bytes]]]) -> Make:
    """A node with other buckets in a file."""

    def make(root: Path) -> Path:
        if name == LOG_FILE:
            return make_node(root, log_buckets=buckets)
        return make_node(root, stable_buckets=buckets)

    return make


def with_pipe(root: Path) -> Path:
    """A node whose log is a pipe that nobody writes to."""
    directory = without(LOG_FILE)(root)
    os.mkfifo(directory / LOG_FILE)
    return directory


def with_folder(root: Path) -> Path:
    """A node whose log is a folder."""
    directory = without(LOG_FILE)(root)
    (directory / LOG_FILE).mkdir()
    return directory


def with_nested_bucket(root: Path) -> Path:
    """A node whose log has a bucket in place of an entry."""
    directory = without(LOG_FILE)(root)
    logs = plain(LOG_ITEMS[:2])
    nested = inline_value([*logs, (1, LOG_ITEMS[2][0], inline_value([]))])
    root_leaf = leaf(2, [(1, CONF, inline_value([])), (1, LOGS, nested)])
    (directory / LOG_FILE).write_bytes(image([root_leaf], root_page=2))
    return directory


def empty_node(root: Path) -> Path:
    """A node as a conductor leaves it that was started and never heard of a cluster."""
    return make_node(root, (), stable=StableState(current_term=0))


def bad_page_number(data: bytes) -> bytes:
    """The root page says that it is another one."""
    with_number = bytearray(data)
    active = max((0, 4096), key=lambda start: data[start + 64 : start + 72][::-1])
    root_page = int.from_bytes(data[active + 32 : active + 40], "little")
    with_number[root_page * 4096] ^= 0xFF
    return bytes(with_number)


def bad_meta(data: bytes) -> bytes:
    """One of the two meta pages is torn."""
    return data[:40] + b"\xff" + data[41:]


FLAWS: dict[str, tuple[Make, tuple[Rule, ...], str]] = {
    "log missing": (without(LOG_FILE), (Rule.FILE_MISSING,), LOG_FILE),
    "stable missing": (without(STABLE_FILE), (Rule.FILE_MISSING,), STABLE_FILE),
    "log of 0 bytes": (with_bytes(LOG_FILE, lambda data: b""), (Rule.FILE_EMPTY,), LOG_FILE),
    "log that is a pipe": (with_pipe, (Rule.FILE_UNREADABLE,), LOG_FILE),
    "log that is a folder": (with_folder, (Rule.FILE_UNREADABLE,), LOG_FILE),
    "text file": (with_bytes(LOG_FILE, lambda _: b"text\n" * 2000), (Rule.STRUCTURE,), LOG_FILE),
    "cut off": (with_bytes(LOG_FILE, lambda data: data[:9000]), (Rule.STRUCTURE,), LOG_FILE),
    "page number": (with_bytes(LOG_FILE, bad_page_number), (Rule.STRUCTURE,), LOG_FILE),
    "page number of the stable store": (
        with_bytes(STABLE_FILE, bad_page_number),
        (Rule.STRUCTURE,),
        STABLE_FILE,
    ),
    "torn meta page": (with_bytes(LOG_FILE, bad_meta), (Rule.STRUCTURE_ODD,), LOG_FILE),
    "no bucket": (with_buckets(STABLE_FILE, {LOGS: []}), (Rule.BUCKET_MISSING,), STABLE_FILE),
    "unknown bucket": (
        with_buckets(LOG_FILE, {LOGS: LOG_ITEMS, b"other": []}),
        (Rule.BUCKET_UNKNOWN,),
        LOG_FILE,
    ),
    "entries in the stable store": (
        with_buckets(STABLE_FILE, {CONF: CONF_ITEMS, LOGS: LOG_ITEMS}),
        (Rule.BUCKET_STRAY,),
        STABLE_FILE,
    ),
    "term in the log": (
        with_buckets(LOG_FILE, {CONF: CONF_ITEMS, LOGS: LOG_ITEMS}),
        (Rule.BUCKET_STRAY,),
        LOG_FILE,
    ),
    "bucket in the log": (with_nested_bucket, (Rule.BUCKET_NESTED,), LOG_FILE),
    "nothing at all": (empty_node, (Rule.NODE_EMPTY,), ""),
}

ALSO = {
    "no bucket": {"log-term-beyond-current"},
    "page number": {"structure-odd"},
    "page number of the stable store": {"structure-odd"},
}
"""What else follows from a flaw."""


@pytest.mark.parametrize("name", FLAWS)
def test_flaw_of_a_file_is_found_and_nothing_else(name: str, tmp_path: Path) -> None:
    make, rules, place = FLAWS[name]
    directory = make(tmp_path)
    before = sorted(path.name for path in directory.iterdir())

    report = verify_state(directory)

    assert set(broken_rules(report)) - ALSO.get(name, set()) == {rule.code for rule in rules}
    found = next(finding for finding in report.findings if finding.rule == rules[0].code)
    assert (found.severity, found.server_id, found.place) == (rules[0].severity, ID, place)
    assert rules[0].meaning in found.text
    assert sorted(path.name for path in directory.iterdir()) == before


def test_damage_names_its_page(tmp_path: Path) -> None:
    report = verify_state(with_bytes(LOG_FILE, bad_page_number)(tmp_path))

    found = report.findings[0]
    assert broken_rules(report)["structure"] == 1
    assert found.page is not None
    assert f"page {found.page}: " in found.text


def test_locked_node_is_a_finding_that_says_how_to_go_on(tmp_path: Path) -> None:
    directory = make_node(tmp_path)
    with running(directory):
        report = verify_state(directory)

    assert broken_rules(report) == {Rule.FILE_LOCKED.code: 2}
    assert report.is_all_locked
    assert "--live" in report.findings[0].text


def test_one_locked_node_does_not_hide_the_others(tmp_path: Path) -> None:
    make_cluster(tmp_path, SOUND, SOUND, SOUND)
    with running(tmp_path / IDS[1]):
        report = verify_state(tmp_path)

    assert broken_rules(report) == {Rule.FILE_LOCKED.code: 2}
    assert report.has_errors
    assert not report.is_all_locked
    assert [node.is_log_read for node in report.nodes] == [True, False, True]


def test_verified_files_are_free_again(tmp_path: Path) -> None:
    directory = make_node(tmp_path)
    verify_state(directory)

    with running(directory), open_database(directory / LOG_FILE, lock=False):
        pass


def test_nothing_is_changed(tmp_path: Path) -> None:
    directory = make_node(tmp_path)
    add_snapshot(directory)
    before = tree(tmp_path)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}

    verify_state(directory)

    assert tree(tmp_path) == before
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == times


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_wrong_directory_is_an_error_and_stays_as_it_is(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    with pytest.raises(NotFound):
        verify_state(tmp_path / name)

    assert tree(tmp_path) == {"empty": None}


def test_progress_grows_to_its_end(tmp_path: Path) -> None:
    make_cluster(tmp_path, SOUND, SOUND)
    told: list[tuple[int, int]] = []
    verify_state(tmp_path, progress=lambda done, total: told.append((done, total)))

    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert len({total for _, total in told}) == 1
    assert told[-1][0] == told[-1][1]


@pytest.mark.parametrize("name", ["raft-log.db", "raft-stable.db"])
def test_any_damage_is_told_and_never_an_error(name: str, tmp_path: Path) -> None:
    random = Random(name)
    directory = make_node(tmp_path)
    add_snapshot(directory, 2)
    path = directory / name
    whole = path.read_bytes()
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(random.choice((1, 1, 3))):
            data[random.randrange(len(data))] ^= 1 << random.randrange(8)
        path.write_bytes(data[: random.randrange(len(data))] if random.random() < 0.1 else data)

        assert all(finding.text.isprintable() for finding in verify_state(directory).findings)
        describe(directory, EntryQuery())


NO_STABLE = {Rule.FILE_MISSING: 1}
FOREIGN = {Rule.CONFIGURATION_WITHOUT_SELF: 1}
NO_PAYLOADS = {Rule.PAYLOAD_UNDECODABLE: 6}
VOTE_BY_ID = {Rule.STABLE_CANDIDATE_FORM: 1}

GOLDENS: dict[str, dict[Rule, int]] = {
    "r173-bb139/gen1": {**VOTE_BY_ID, Rule.CONFIGURATION_VOTERS_ONE: 1},
    "r173-bb139/gen3": VOTE_BY_ID,
    "r112-bolt131/gen3": VOTE_BY_ID,
    "r173-bb139/fresh_empty": NO_STABLE,
    "r173-bb139/log10": {**NO_STABLE, **FOREIGN, **NO_PAYLOADS},
    "r112-bolt131/log10": {**NO_STABLE, **FOREIGN, **NO_PAYLOADS},
    "r173-bb139/newtimeformat": {**NO_STABLE, **FOREIGN, **NO_PAYLOADS},
    "r173-bb139/torn_meta": {**NO_STABLE, **FOREIGN, **NO_PAYLOADS, Rule.STRUCTURE_ODD: 1},
    "r173-bb139/nofreelistsync": {
        **NO_STABLE,
        **NO_PAYLOADS,
        Rule.LOG_START: 1,
        Rule.CONFIGURATION_MISSING: 1,
    },
    "r173-bb139/pagesize16384": {**FOREIGN, **NO_PAYLOADS, Rule.LOG_START: 1},
    "r173-bb139/log1000_compacted": {
        **NO_STABLE,
        **FOREIGN,
        **NO_PAYLOADS,
        Rule.LOG_START: 1,
        Rule.CONFIGURATION_LEAP: 1,
        Rule.CONFIGURATION_CHANGED: 1,
        Rule.CONFIGURATION_VOTERS_EVEN: 1,
    },
}
"""What is to be found in the databases of the Go libraries: nothing that is not there."""


@pytest.mark.parametrize("name", GOLDENS)
def test_databases_of_the_go_libraries_are_whole(name: str) -> None:
    report = verify_state(GOLDEN / name)

    assert broken_rules(report) == {rule.code: count for rule, count in GOLDENS[name].items()}


def test_generated_cluster_has_nothing_to_be_mended() -> None:
    report: Report = verify_state(GOLDEN / "r173-bb139" / "gen3")

    assert not report.has_errors
    assert report.count(Severity.WARNING) == 0
    assert [node.server_id for node in report.nodes] == list(IDS)
