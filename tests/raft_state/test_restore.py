"""A restore checks first, replaces whole directories, and changes nothing when it cannot finish."""

from __future__ import annotations

import errno
import os
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from conductor.errors import (
    NotFound,
    StoreDamaged,
    StoreFull,
    StoreLocked,
    StoreMismatch,
)
from raft_state.backup import RestorePlan, RestoreReport, back_up, plan_restore, restore
from raft_state.backup.manifest import Permissions, encode_manifest, read_manifest
from raft_state.backup.swap import leftovers_in
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


def settled() -> None:
    """No conductor comes."""


def put_back(plan: RestorePlan, **options: Any) -> RestoreReport:
    return restore(plan, now=NOW, settled=settled, **options)


def save(state_dir: Path, backup_dir: Path, **options: Any) -> Path:
    return back_up(state_dir, backup_dir, now=NOW, tool_version="1", **options).backup


def move_on(cluster: Path) -> None:
    """What a cluster looks like a while after its backup."""
    for name in IDS:
        write_log(cluster / name / LOG_FILE, range(7, 12), term=4, replace=True)
        write_stable(cluster / name / STABLE_FILE, 4, vote_term=4)
        make_snapshot(cluster / name, 8, term=4)
        (cluster / name / SNAPSHOTS / "4-11-9.tmp").mkdir()


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting for the disk: whether something was synced is not what is looked at here."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def cluster(tmp_path: Path) -> Path:
    root = make_cluster(tmp_path / "raft-state")
    make_snapshot(root / IDS[0], 2)
    return root


@pytest.fixture
def backup(cluster: Path, tmp_path: Path) -> Path:
    return save(cluster, tmp_path / "backups")


def test_nothing_of_the_state_of_before_survives(cluster: Path, backup: Path) -> None:
    saved = tree(cluster)
    move_on(cluster)

    report = put_back(plan_restore(backup, cluster))

    assert tree(cluster) == saved
    assert [each.target for each in report.replacements] == [cluster / name for name in IDS]
    assert report.kept == ()


def test_plan_changes_nothing_and_says_what_would_go(cluster: Path, backup: Path) -> None:
    move_on(cluster)
    before = tree(cluster)

    plan = plan_restore(backup, cluster)

    assert tree(cluster) == before
    assert plan.replaces
    first = plan.replacements[0]
    assert first.before is not None
    assert (first.before.position, first.after.position) == ((4, 11), (1, 3))
    assert (
        sum("goes back from entry 11, term 4, to entry 3, term 1" in w for w in plan.warnings) == 3
    )


@pytest.mark.parametrize(
    ("last", "term", "goes_back"), [(4, 1, 1), (3, 2, 1), (3, 1, 0), (2, 1, 0)]
)
def test_node_that_would_forget_something_is_named(
    cluster: Path, backup: Path, last: int, term: int, goes_back: int
) -> None:
    write_log(cluster / IDS[1] / LOG_FILE, range(1, last + 1), replace=True)
    write_stable(cluster / IDS[1] / STABLE_FILE, term)

    warnings = plan_restore(backup, cluster).warnings

    assert sum("sequencer-2 goes back from entry" in warning for warning in warnings) == goes_back


def test_state_that_is_not_there_is_made(backup: Path, cluster: Path, tmp_path: Path) -> None:
    plan = plan_restore(backup, tmp_path / "new" / "raft-state")
    assert not plan.replaces

    put_back(plan)

    assert tree(tmp_path / "new" / "raft-state") == tree(cluster)


def test_one_node_of_a_cluster_can_be_restored(cluster: Path, backup: Path) -> None:
    saved = tree(cluster / IDS[1])
    move_on(cluster)
    others = tree(cluster / IDS[0])

    plan = plan_restore(backup, cluster, server_id=IDS[1])
    put_back(plan)

    assert tree(cluster / IDS[1]) == saved
    assert tree(cluster / IDS[0]) == others
    assert sum("stays as it is" in warning for warning in plan.warnings) == 2


def test_one_node_of_a_cluster_goes_into_its_own_directory_too(
    cluster: Path, backup: Path, tmp_path: Path
) -> None:
    for target in (cluster / IDS[1], tmp_path / "elsewhere" / IDS[1]):
        plan = plan_restore(backup, target, server_id=IDS[1])
        assert [each.target for each in plan.replacements] == [target]


def test_unknown_server_is_named_with_those_there(cluster: Path, backup: Path) -> None:
    with pytest.raises(NotFound, match="holds sequencer-1, sequencer-2, sequencer-3"):
        plan_restore(backup, cluster, server_id="sequencer-4")


def test_backup_of_a_node_goes_where_it_came_from_or_into_its_cluster(
    cluster: Path, tmp_path: Path
) -> None:
    alone = save(cluster / IDS[1], tmp_path / "alone")

    for state_dir in (cluster / IDS[1], cluster):
        plan = plan_restore(alone, state_dir)
        assert [each.target for each in plan.replacements] == [cluster / IDS[1]]


@pytest.mark.parametrize("there", [True, False])
def test_state_of_another_server_is_refused_unless_asked_for(
    cluster: Path, tmp_path: Path, there: bool
) -> None:
    alone = save(cluster / IDS[1], tmp_path / "alone")
    target = cluster / IDS[0] if there else tmp_path / "fresh"
    before = tree(tmp_path)

    with pytest.raises(StoreMismatch, match="--allow-other-server"):
        plan_restore(alone, target)
    assert tree(tmp_path) == before

    plan = plan_restore(alone, target, allow_other_server=True)
    put_back(plan)
    assert tree(target) == tree(cluster / IDS[1])
    assert any("gets the state of sequencer-2" in warning for warning in plan.warnings)


def test_backup_of_a_cluster_is_refused_where_one_node_is(cluster: Path, backup: Path) -> None:
    with pytest.raises(StoreMismatch, match="choose one with --server-id"):
        plan_restore(backup, cluster / IDS[0])


def test_running_conductor_is_refused(cluster: Path, backup: Path) -> None:
    move_on(cluster)
    before = tree(cluster)
    with running(cluster / IDS[2]), pytest.raises(StoreLocked, match="stop the conductor"):
        plan_restore(backup, cluster)

    plan = plan_restore(backup, cluster)
    with running(cluster / IDS[2]), pytest.raises(StoreLocked, match="stop the conductor"):
        put_back(plan)

    assert tree(cluster) == before


def test_two_restores_in_one_directory_do_not_meet(cluster: Path, backup: Path) -> None:
    move_on(cluster)
    before = tree(cluster)
    plan = plan_restore(backup, cluster)

    def meanwhile(done: int, total: int) -> None:
        with pytest.raises(StoreLocked, match="another restore"):
            put_back(plan)

    put_back(plan, progress=meanwhile)

    assert tree(cluster) != before
    assert leftovers_in(cluster) == []


def test_strangers_in_a_backup_are_named_and_not_restored(cluster: Path, backup: Path) -> None:
    (backup / IDS[0] / "notes").touch()

    plan = plan_restore(backup, cluster)
    put_back(plan)

    assert f"{IDS[0]}/notes is not in the manifest: it is not restored" in plan.warnings
    assert not (cluster / IDS[0] / "notes").exists()


def test_state_saved_damaged_is_put_back_only_when_asked_for(tmp_path: Path) -> None:
    node = make_node(tmp_path / "a", first=5, last=8)
    saved = tree(node)
    backup = save(node, tmp_path / "b", allow_damaged=True)

    with pytest.raises(StoreDamaged, match=r"begins at entry 5.*--allow-damaged"):
        plan_restore(backup, node)
    put_back(plan_restore(backup, node, allow_damaged=True))

    assert tree(node) == saved


def test_symlinks_to_state_and_nodes_are_followed(
    cluster: Path, backup: Path, tmp_path: Path
) -> None:
    saved = tree(cluster)
    (cluster / IDS[1]).rename(tmp_path / "volume")
    (cluster / IDS[1]).symlink_to(tmp_path / "volume")
    (tmp_path / "current").symlink_to(cluster)
    write_stable(tmp_path / "volume" / STABLE_FILE, 9)

    put_back(plan_restore(backup, tmp_path / "current"))

    assert (cluster / IDS[1]).is_symlink()
    assert tree(tmp_path / "volume") == part(saved, IDS[1])


def test_old_directory_with_anything_else_in_it_is_kept(cluster: Path, tmp_path: Path) -> None:
    """Such as the very backup that is restored."""
    node = cluster / IDS[0]
    backup = save(node, node / "backups")

    report = put_back(plan_restore(backup, node))

    (kept,) = report.kept
    assert kept == cluster / f"{IDS[0]}.replaced-{STAMP}"
    assert (kept / "backups" / backup.name / "manifest.json").is_file()
    assert any("not Raft's (backups)" in warning for warning in report.warnings)


def test_database_that_was_a_link_is_kept_as_one(
    cluster: Path, backup: Path, tmp_path: Path
) -> None:
    log = cluster / IDS[0] / LOG_FILE
    log.rename(tmp_path / "elsewhere")
    log.symlink_to(tmp_path / "elsewhere")

    (kept,) = put_back(plan_restore(backup, cluster)).kept

    assert (kept / LOG_FILE).readlink() == tmp_path / "elsewhere"
    assert not log.is_symlink()


def test_nodes_that_share_a_directory_are_refused(cluster: Path, backup: Path) -> None:
    shutil.rmtree(cluster / IDS[1])
    (cluster / IDS[1]).symlink_to(cluster / IDS[0])

    with pytest.raises(StoreMismatch, match="two nodes share"):
        plan_restore(backup, cluster)


def test_replaced_directories_are_kept_when_asked_for(cluster: Path, backup: Path) -> None:
    before = tree(cluster / IDS[2])

    report = put_back(plan_restore(backup, cluster), keep_replaced=True)

    assert len(report.kept) == 3
    assert tree(report.kept[2]) == before


def test_owner_and_modes_are_those_of_the_directory_that_was_there(
    cluster: Path, backup: Path
) -> None:
    node = cluster / IDS[0]
    owner = 4242 if os.geteuid() == 0 else os.geteuid()
    node.chmod(0o750)
    for path in (node, node / LOG_FILE):
        os.chown(path, owner, os.getegid())

    report = put_back(plan_restore(backup, cluster))

    assert {path.stat().st_uid for path in [node, *node.rglob("*")]} == {owner}
    modes = {path.name: path.stat().st_mode & 0o777 for path in [node, *node.rglob("*")]}
    assert (modes[IDS[0]], modes[SNAPSHOTS], modes["meta.json"]) == (0o750, 0o750, 0o644)
    assert (modes[LOG_FILE], modes[STABLE_FILE]) == (0o600, 0o600)
    assert not any("chown" in warning for warning in report.warnings)


def test_new_directories_have_the_saved_modes(cluster: Path, tmp_path: Path) -> None:
    (cluster / IDS[0]).chmod(0o710)
    (cluster / IDS[0] / LOG_FILE).chmod(0o644)
    backup = save(cluster, tmp_path / "b")

    put_back(plan_restore(backup, tmp_path / "new"))

    node = tmp_path / "new" / IDS[0]
    assert node.stat().st_mode & 0o777 == 0o710
    assert (node / LOG_FILE).stat().st_mode & 0o777 == 0o600


def test_owner_that_cannot_be_given_is_told(
    cluster: Path, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for a user who is not root: the state is there, and the operator knows what is left."""

    def refuse(descriptor: int, user: int, group: int) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    rewrite_owners(backup, os.geteuid() + 1)
    monkeypatch.setattr(os, "fchown", refuse)

    report = put_back(plan_restore(backup, cluster.with_name("new")))

    assert tree(cluster.with_name("new")) == tree(cluster)
    assert sum("with chown" in warning for warning in report.warnings) == 3


def rewrite_owners(backup: Path, user_id: int) -> None:
    """Make a backup one of another user's files."""

    def change(permissions: Permissions) -> Permissions:
        return replace(permissions, user_id=user_id)

    path = backup / "manifest.json"
    manifest = read_manifest(path)
    nodes = tuple(
        replace(
            node,
            permissions=change(node.permissions),
            files=tuple(replace(file, permissions=change(file.permissions)) for file in node.files),
        )
        for node in manifest.nodes
    )
    path.write_bytes(encode_manifest(replace(manifest, nodes=nodes)))


@pytest.fixture
def clusters(tmp_path: Path) -> tuple[Path, Path]:
    """A backup of two nodes, and a cluster that has moved on."""
    origin = tmp_path / "origin"
    for name in TWO:
        make_node(origin / name, snapshot=2)
        make_node(tmp_path / "later" / name, last=9, term=3)
    return save(origin, tmp_path / "backups"), tmp_path / "later"


TWO = IDS[:2]


def test_crash_at_any_change_leaves_old_or_new_and_a_second_run_finishes(
    clusters: tuple[Path, Path], tmp_path: Path
) -> None:
    backup, later = clusters
    new = {name: tree(tmp_path / "origin" / name) for name in TWO}
    old = {name: tree(later / name) for name in TWO}
    code, number, gaps = KILLED, 0, 0
    while code == KILLED:
        root = tmp_path / str(number)
        shutil.copytree(later, root)
        code = in_child(partial(put_back, plan_restore(backup, root)), killed_at(number))

        texts = [leftover.text for leftover in leftovers_in(root)]
        for name in TWO:
            if (root / name).exists():
                assert tree(root / name) in (old[name], new[name])
            else:
                gaps += 1
                replaced = root / f"{name}.replaced-{STAMP}"
                assert any(text.endswith(f"mv {replaced} {root / name}") for text in texts)
                assert tree(replaced) == old[name]
        again = plan_restore(backup, root)
        assert set(texts) <= set(again.warnings)
        put_back(again)
        assert {name: tree(root / name) for name in TWO} == new
        number += 1
    assert (code, gaps) == (0, len(TWO))


def test_failure_at_any_change_leaves_all_as_it_was(
    clusters: tuple[Path, Path], tmp_path: Path
) -> None:
    """Until everything new is in place; after that the restore has succeeded."""
    backup, later = clusters
    new = {name: tree(tmp_path / "origin" / name) for name in TWO}
    before = tree(later)
    plan = plan_restore(backup, later)
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    code, number = REFUSED, 0
    while code == REFUSED:
        code = in_child(partial(put_back, plan), failing_at(number, full))
        if code == REFUSED:
            assert tree(later) == before
        number += 1
    assert code == 0
    assert number > 20
    assert {name: tree(later / name) for name in TWO} == new


def test_old_state_that_cannot_be_removed_is_told(
    cluster: Path, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(directory: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(directory))

    saved = tree(cluster)
    move_on(cluster)
    plan = plan_restore(backup, cluster)
    monkeypatch.setattr(shutil, "rmtree", refuse)

    report = put_back(plan)

    assert sum("cannot be removed" in warning for warning in report.warnings) == 3
    assert [tree(cluster / name) for name in IDS] == [part(saved, name) for name in IDS]


def part(state: dict[str, bytes | None], name: str) -> dict[str, bytes | None]:
    """What of a `tree` is in one folder."""
    return {
        path.removeprefix(f"{name}/"): content
        for path, content in state.items()
        if path.startswith(f"{name}/")
    }


def test_disk_that_is_too_small_is_refused(
    cluster: Path, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tree(cluster)
    plan = plan_restore(backup, cluster)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 9, 0))

    with pytest.raises(StoreFull, match="bytes needed"):
        put_back(plan)

    assert tree(cluster) == before


def test_target_that_cannot_be_written_is_refused(cluster: Path, backup: Path) -> None:
    before = tree(cluster)
    plan = plan_restore(backup, cluster)
    read_only = OSError(errno.EROFS, os.strerror(errno.EROFS))

    assert in_child(partial(put_back, plan), failing_at(0, read_only)) == REFUSED
    assert tree(cluster) == before


def test_backup_that_changes_after_the_check_is_refused(cluster: Path, backup: Path) -> None:
    before = tree(cluster)
    plan = plan_restore(backup, cluster)
    set_byte(backup / IDS[2] / LOG_FILE, 5000)

    with pytest.raises(StoreDamaged, match="was changed after it was checked"):
        put_back(plan)

    assert tree(cluster) == before


def test_disk_that_gives_back_other_bytes_is_refused(cluster: Path, backup: Path) -> None:
    before = tree(cluster)
    plan = plan_restore(backup, cluster)
    decayed: list[Path] = []

    def decay(done: int, total: int) -> None:
        if not decayed:
            decayed.extend(cluster.glob(f"*.restoring-*/{LOG_FILE}"))
            set_byte(decayed[0], 100)

    with pytest.raises(StoreDamaged, match="check the disk"):
        put_back(plan, progress=decay)

    assert tree(cluster) == before


def test_everything_is_durable_before_it_has_its_name(
    cluster: Path, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))

    def look() -> None:
        paths = [path for name in IDS for path in [cluster / name, *(cluster / name).rglob("*")]]
        assert {path.stat().st_ino for path in paths} <= set(synced)
        assert synced[-1] == cluster.stat().st_ino

    restore(plan_restore(backup, cluster), now=NOW, settled=look)


def test_mount_point_is_refused_with_the_way_out(
    cluster: Path, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "is_mount", lambda path: path.name == IDS[1])

    with pytest.raises(StoreMismatch, match="mount the directory above it"):
        plan_restore(backup, cluster)


def test_backup_is_never_restored_into_itself(backup: Path) -> None:
    before = tree(backup)

    for target in (backup, backup / IDS[0]):
        with pytest.raises(StoreMismatch, match="inside the backup itself"):
            plan_restore(backup, target, server_id=IDS[0])

    assert tree(backup) == before


def test_target_that_is_no_directory_is_refused(cluster: Path, backup: Path) -> None:
    (cluster.parent / "file").touch()
    (cluster.parent / "new").mkdir()
    (cluster.parent / "new" / IDS[0]).touch()

    for target in ("file", "new"):
        with pytest.raises(StoreMismatch, match="is not a directory"):
            plan_restore(backup, cluster.parent / target)
