"""Backups are whole, of one moment that Raft can start from, or not there at all."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from datetime import timedelta, timezone
from functools import partial
from pathlib import Path

import pytest

from conductor.errors import (
    NotFound,
    StoreDamaged,
    StoreError,
    StoreFull,
    StoreLocked,
    StoreMismatch,
)
from raft_state.backup import BackupReport, back_up, open_backup
from raft_state.backup.files import Meter
from raft_state.backup.saved import check_files
from raft_state.bolt import check_database, open_database
from raft_state.node import LOG_FILE, SNAPSHOTS, STABLE_FILE
from tests.raft_state.backup_states import (
    IDS,
    KILLED,
    NOW,
    REFUSED,
    STAMP,
    failing_at,
    in_child,
    killed_at,
    make_cluster,
    make_node,
    make_snapshot,
    running,
    set_byte,
    tree,
    write_log,
    write_stable,
)

Progress = Callable[[int, int], None]


def save(
    state_dir: Path,
    backup_dir: Path,
    *,
    allow_damaged: bool = False,
    progress: Progress | None = None,
) -> BackupReport:
    return back_up(
        state_dir,
        backup_dir,
        now=NOW,
        tool_version="1.2.3",
        allow_damaged=allow_damaged,
        progress=progress,
    )


def require_whole(backup: Path) -> None:
    """Every byte is what the manifest says."""
    for node in open_backup(backup).nodes:
        check_files(node, Meter(None, 0))


def once(action: Callable[[], None]) -> Progress:
    """A progress callback that acts while the first bytes are copied."""
    pending = [action]

    def progress(done: int, total: int) -> None:
        if pending:
            pending.pop()()

    return progress


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting for the disk: whether something was synced is not what is looked at here."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def cluster(tmp_path: Path) -> Path:
    return make_cluster(tmp_path / "raft-state")


def test_cluster_is_saved_byte_by_byte_with_its_snapshots(cluster: Path, tmp_path: Path) -> None:
    make_snapshot(cluster / IDS[0], 2)
    before = tree(cluster)

    report = save(cluster, tmp_path / "backups")

    assert report.backup == tmp_path / "backups" / f"raft-backup-{STAMP}"
    saved = tree(report.backup)
    saved.pop("manifest.json")
    assert saved == before
    assert tree(cluster) == before
    require_whole(report.backup)


def test_manifest_has_size_and_sha256_of_every_file(cluster: Path, tmp_path: Path) -> None:
    backup = save(cluster, tmp_path / "backups").backup

    manifest = json.loads((backup / "manifest.json").read_text())
    files = {
        f"{node['server_id']}/{file['path']}": (file["size_bytes"], file["sha256"])
        for node in manifest["nodes"]
        for file in node["files"]
    }
    assert files == {
        path: (len(content), hashlib.sha256(content).hexdigest())
        for path, content in tree(cluster).items()
        if content is not None
    }
    assert manifest["tool_version"] == "1.2.3"
    assert manifest["created_at"] == "2025-07-07T12:00:00+00:00"


def test_manifest_tells_what_is_in_each_node(tmp_path: Path) -> None:
    node = make_node(tmp_path / "a", first=3, last=9, term=4, current_term=6, snapshot=5)

    (record,) = save(node, tmp_path / "backups").nodes

    assert record.server_id == "a"
    assert record.source == "stopped"
    assert record.facts.current_term == 6
    assert record.facts.log is not None
    assert (record.facts.log.first_index, record.facts.log.last_index) == (3, 9)
    assert (record.facts.log.last_term, record.facts.log.entries) == (4, 7)
    assert [(each.index, each.term) for each in record.facts.snapshots] == [(5, 4)]


def test_names_are_in_utc_whatever_the_zone(cluster: Path, tmp_path: Path) -> None:
    there = NOW.astimezone(timezone(timedelta(hours=-7)))

    report = back_up(cluster, tmp_path / "backups", now=there, tool_version="1")

    assert report.backup.name == f"raft-backup-{STAMP}"


def test_runs_in_one_second_never_share_a_directory(cluster: Path, tmp_path: Path) -> None:
    names = [save(cluster, tmp_path / "backups").backup.name for _ in range(3)]

    first = f"raft-backup-{STAMP}"
    assert names == [first, f"{first}-2", f"{first}-3"]
    for name in names:
        require_whole(tmp_path / "backups" / name)


def test_name_taken_while_the_backup_was_made_is_left_alone(cluster: Path, tmp_path: Path) -> None:
    backups = tmp_path / "backups"

    def take() -> None:
        (backups / f"raft-backup-{STAMP}").mkdir()
        (backups / f"raft-backup-{STAMP}" / "mine").touch()

    report = save(cluster, backups, progress=once(take))

    assert report.backup.name == f"raft-backup-{STAMP}-2"


@pytest.mark.parametrize("inside", ["", "backups", "sequencer-1/backups"])
def test_backups_inside_the_state_are_never_saved_again(cluster: Path, inside: str) -> None:
    sizes = [save(cluster, cluster / inside).size_bytes for _ in range(3)]

    assert len(set(sizes)) == 1


def test_backups_of_the_go_tool_inside_the_state_are_no_nodes(
    cluster: Path, tmp_path: Path
) -> None:
    make_node(cluster / "raft-backup-20240101-000000")

    assert len(save(cluster, tmp_path / "backups").nodes) == len(IDS)


def test_symlinked_state_is_followed(cluster: Path, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(cluster)
    (tmp_path / "one").symlink_to(cluster / IDS[1])
    (cluster / "sequencer-9").symlink_to(make_node(tmp_path / "volume"))

    report = save(tmp_path / "current", tmp_path / "backups")
    assert [node.server_id for node in report.nodes] == [*IDS, "sequencer-9"]
    assert report.source == cluster
    (alone,) = save(tmp_path / "one", tmp_path / "backups").nodes
    assert alone.server_id == IDS[1]


def test_what_is_not_state_is_left_out_and_named(tmp_path: Path) -> None:
    node = make_node(tmp_path / "a", snapshot=2)
    (node / "notes.db").write_text("mine")
    (node / SNAPSHOTS / "1-9-9.tmp").mkdir()
    (node / SNAPSHOTS / "permTest").touch()
    (next((node / SNAPSHOTS).glob("1-2-*")) / "extra").touch()

    (record,) = save(node, tmp_path / "backups").nodes

    assert record.left_out == (
        "notes.db: not a file of Raft",
        "snapshots/1-9-9.tmp: a snapshot that was never finished",
        "snapshots/permTest: not a snapshot",
        "snapshots/1-2-1/extra: not a file of a snapshot",
    )
    assert len(record.files) == 4


def test_node_that_an_interrupted_restore_took_away_is_told(cluster: Path, tmp_path: Path) -> None:
    replaced = (cluster / IDS[1]).rename(cluster / f"{IDS[1]}.replaced-{STAMP}")

    report = save(cluster, tmp_path / "backups")

    assert [node.server_id for node in report.nodes] == [IDS[0], IDS[2]]
    assert any(f"mv {replaced} {cluster / IDS[1]}" in warning for warning in report.warnings)


def test_databases_are_private_in_the_backup(cluster: Path, tmp_path: Path) -> None:
    (cluster / IDS[0] / LOG_FILE).chmod(0o644)

    backup = save(cluster, tmp_path / "backups").backup

    modes = {path.stat().st_mode & 0o077 for path in [backup, *backup.rglob("*")]}
    assert modes == {0}


@pytest.mark.parametrize("wrong", ["nowhere", "empty", "file"])
def test_wrong_state_directory_creates_nothing(tmp_path: Path, wrong: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    before = tree(tmp_path)

    with pytest.raises(NotFound):
        save(tmp_path / wrong, tmp_path / "new" / "backups")

    assert tree(tmp_path) == before


def test_node_that_runs_is_copied_without_its_lock(cluster: Path, tmp_path: Path) -> None:
    with running(*(cluster / name for name in IDS)):
        report = save(cluster, tmp_path / "backups")

    assert [node.source for node in report.nodes] == ["live"] * 3
    for node in report.nodes:
        for name in (LOG_FILE, STABLE_FILE):
            with open_database(report.backup / node.server_id / name) as database:
                assert list(check_database(database)) == []
    require_whole(report.backup)


def test_stopped_node_cannot_start_until_all_is_copied(cluster: Path, tmp_path: Path) -> None:
    backups = tmp_path / "backups"
    tried = []

    def start(done: int, total: int) -> None:
        if not list(backups.glob(f"*/{IDS[2]}/{STABLE_FILE}")):
            with pytest.raises(BlockingIOError), running(cluster / IDS[0]):
                pass
            tried.append(True)

    with running(cluster / IDS[2]):
        save(cluster, backups, progress=start)

    assert tried


def test_terms_and_votes_are_copied_after_the_logs_of_all_nodes(
    cluster: Path, tmp_path: Path
) -> None:
    """An election while the last log is copied is in the copies of all stable stores."""
    backups = tmp_path / "backups"

    def elect(done: int, total: int) -> None:
        if not list(backups.glob(f"*/{IDS[2]}/{LOG_FILE}*")):
            return
        if not list(backups.glob(f"*/*/{STABLE_FILE}*")):
            for name in IDS:
                write_stable(cluster / name / STABLE_FILE, 7, vote_term=7)

    with running(*(cluster / name for name in IDS)):
        report = save(cluster, backups, progress=elect)

    assert [node.facts.current_term for node in report.nodes] == [7, 7, 7]
    assert [node.facts.last_vote_term for node in report.nodes] == [7, 7, 7]


def compact(node: Path, index: int, last: int) -> None:
    """What Raft does after a while: a new snapshot, the old one gone, the log cut off below it."""
    old = list((node / SNAPSHOTS).iterdir())
    make_snapshot(node, index, unix_ms=index)
    for path in old:
        shutil.rmtree(path)
    write_log(node / LOG_FILE, range(index, last + 1), replace=True)


def test_snapshot_finished_during_the_copy_makes_it_begin_again(tmp_path: Path) -> None:
    """Else the log would be compacted up to a snapshot that is not in the backup, or reversed."""
    node = make_node(tmp_path / "a", last=9, snapshot=2)

    with running(node):
        report = save(node, tmp_path / "b", progress=once(lambda: compact(node, 6, 12)))

    (facts,) = (node.facts for node in report.nodes)
    assert [each.index for each in facts.snapshots] == [6]
    assert facts.log is not None
    assert (facts.log.first_index, facts.log.last_index) == (6, 12)
    require_whole(report.backup)


def test_node_that_finishes_snapshots_all_the_time_is_refused(tmp_path: Path) -> None:
    node = make_node(tmp_path / "a", last=9, snapshot=2)
    count = 100

    def snapshot_again(done: int, total: int) -> None:
        nonlocal count
        count += 1
        compact(node, count, count)

    with running(node), pytest.raises(StoreLocked, match="try again, or stop the conductors"):
        save(node, tmp_path / "b", progress=snapshot_again)

    assert not (tmp_path / "b").exists()


def damage_log(node: Path) -> None:
    set_byte(node / LOG_FILE, 2 * 4096 + 8)


def truncate_log(node: Path) -> None:
    (node / LOG_FILE).write_bytes((node / LOG_FILE).read_bytes()[:4096])


def lose_stable(node: Path) -> None:
    (node / STABLE_FILE).unlink()


def lose_log_before(node: Path) -> None:
    write_log(node / LOG_FILE, range(5, 9), replace=True)


def lose_log_between(node: Path) -> None:
    make_snapshot(node, 4)
    write_log(node / LOG_FILE, range(6, 9), replace=True)


def lower_term(node: Path) -> None:
    write_log(node / LOG_FILE, range(1, 4), term=5, replace=True)


def damage_snapshot(node: Path) -> None:
    set_byte(make_snapshot(node, 2) / "state.bin", 0)


def truncate_meta(node: Path) -> None:
    (make_snapshot(node, 2) / "meta.json").write_text('{"Version":1,')


DAMAGES = [
    (damage_log, "raft-log.db: page 2"),
    (truncate_log, LOG_FILE),
    (lose_stable, "raft-stable.db: No such file"),
    (lose_log_before, "begins at entry 5 and there is no snapshot"),
    (lose_log_between, "entry 5 is missing and 6 is there"),
    (lower_term, "CurrentTerm 1 is lower than the term 5"),
    (damage_snapshot, "snapshot 1-2-1: .*checksum"),
    (truncate_meta, "snapshot 1-2-1: .*Raft would start without it"),
]


@pytest.mark.parametrize(("damage", "reason"), DAMAGES)
def test_state_that_raft_cannot_run_on_is_refused(
    cluster: Path, tmp_path: Path, damage: Callable[[Path], None], reason: str
) -> None:
    damage(cluster / IDS[1])

    with pytest.raises(StoreDamaged, match=reason) as refused:
        save(cluster, tmp_path / "backups")

    assert "--allow-damaged" in str(refused.value)
    assert not (tmp_path / "backups").exists()


@pytest.mark.parametrize(("damage", "reason"), DAMAGES)
def test_damaged_state_is_saved_as_it_is_when_asked_for(
    cluster: Path, tmp_path: Path, damage: Callable[[Path], None], reason: str
) -> None:
    damage(cluster / IDS[1])

    report = save(cluster, tmp_path / "backups", allow_damaged=True)

    saved = tree(report.backup)
    saved.pop("manifest.json")
    assert saved == tree(cluster)
    assert [bool(node.problems) for node in report.nodes] == [False, True, False]
    require_whole(report.backup)


def test_damaged_database_in_use_is_saved_as_it_is_when_asked_for(tmp_path: Path) -> None:
    node = make_node(tmp_path / "a")
    for page in (0, 1):
        set_byte(node / LOG_FILE, page * 4096 + 16)

    with running(node):
        with pytest.raises(StoreDamaged, match="--allow-damaged"):
            save(node, tmp_path / "b")
        report = save(node, tmp_path / "b", allow_damaged=True)

    assert (report.backup / "a" / LOG_FILE).read_bytes() == (node / LOG_FILE).read_bytes()
    assert report.nodes[0].problems


def test_failure_at_any_change_leaves_nothing(cluster: Path, tmp_path: Path) -> None:
    before = tree(tmp_path)
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    code, number = REFUSED, 0
    while code == REFUSED:
        code = in_child(partial(save, cluster, tmp_path / "backups"), failing_at(number, full))
        if code == REFUSED:
            assert tree(tmp_path) == before
        number += 1
    assert code == 0
    assert number > 3 * len(IDS)


def test_crash_at_any_change_leaves_no_backup_that_is_not_whole(
    cluster: Path, tmp_path: Path
) -> None:
    code, number = KILLED, 0
    while code == KILLED:
        backups = tmp_path / str(number)
        code = in_child(partial(save, cluster, backups), killed_at(number))
        named = list(backups.glob("raft-backup-*"))
        assert len(named) == (1 if code == 0 else 0)
        if code == KILLED and backups.exists():
            report = save(cluster, backups)
            unfinished = list(backups.glob(".raft-backup-*"))
            assert [str(path) in "".join(report.warnings) for path in unfinished] == [True] * len(
                unfinished
            )
        number += 1
    assert code == 0


@pytest.mark.parametrize("broken", [errno.EIO, errno.ENOSPC])
def test_disk_that_cannot_sync_gives_no_backup(
    cluster: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: int
) -> None:
    def sync(descriptor: int) -> None:
        raise OSError(broken, os.strerror(broken))

    monkeypatch.setattr(os, "fsync", sync)

    with pytest.raises(StoreFull if broken == errno.ENOSPC else StoreError):
        save(cluster, tmp_path / "backups")

    assert list(tmp_path.glob("backups/*")) == []


def test_everything_is_durable_before_it_has_its_name(
    cluster: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_snapshot(cluster / IDS[0], 2)
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))

    with running(cluster / IDS[1]):
        backup = save(cluster, tmp_path / "new" / "backups").backup

    durable_before_named = set(synced[:-1])
    assert {path.stat().st_ino for path in [backup, *backup.rglob("*")]} <= durable_before_named
    assert synced[-1] == backup.parent.stat().st_ino


def test_disk_that_gives_back_other_bytes_is_refused(cluster: Path, tmp_path: Path) -> None:
    backups = tmp_path / "backups"
    decayed: list[bool] = []

    def decay(done: int, total: int) -> None:
        if list(backups.glob(f"*/{IDS[2]}/{STABLE_FILE}")) and not decayed:
            decayed.append(True)
            (written,) = backups.glob(f"*/{IDS[0]}/{LOG_FILE}")
            set_byte(written, 100)

    with pytest.raises(StoreDamaged, match="use another disk"):
        save(cluster, backups, progress=decay)

    assert not backups.exists()


def test_too_small_a_disk_is_refused_before_anything_is_copied(
    cluster: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 9, 0))

    with pytest.raises(StoreFull, match="bytes needed, 0 free"):
        save(cluster, tmp_path / "backups")

    assert not (tmp_path / "backups").exists()


def test_backup_directory_that_is_a_file_is_refused(cluster: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")

    with pytest.raises(StoreError, match=r"Not a directory|File exists"):
        save(cluster, tmp_path / "file" / "backups")
    with pytest.raises(StoreError, match=r"Not a directory|File exists"):
        save(cluster, tmp_path / "file")

    assert (tmp_path / "file").read_text() == "mine"


def test_server_id_that_is_no_text_is_refused(tmp_path: Path) -> None:
    make_node(tmp_path / "s" / os.fsdecode(b"caf\xe9"))

    with pytest.raises(StoreMismatch, match="not UTF-8"):
        save(tmp_path / "s", tmp_path / "b")


def test_progress_ends_at_its_total(cluster: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []

    save(cluster, tmp_path / "b", progress=lambda done, total: seen.append((done, total)))

    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1][0] == seen[-1][1]
