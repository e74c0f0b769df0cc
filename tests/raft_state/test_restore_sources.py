"""What is taken for a backup: ours if every byte fits the manifest, and those of the Go tool."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from conductor.errors import NotFound, StoreDamaged, StoreMismatch
from raft_state.backup import back_up, manifest, plan_restore, restore
from raft_state.backup.manifest import encode_manifest, read_manifest
from raft_state.node import LOG_FILE, STABLE_FILE, open_node
from tests.raft_state.backup_states import (
    IDS,
    NOW,
    make_cluster,
    make_node,
    make_snapshot,
    set_byte,
    tree,
)


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
    return back_up(cluster, tmp_path / "backups", now=NOW, tool_version="1").backup


def flip(backup: Path) -> None:
    set_byte(backup / IDS[1] / LOG_FILE, 9000)


def shorten(backup: Path) -> None:
    path = backup / IDS[1] / STABLE_FILE
    path.write_bytes(path.read_bytes()[:-1])


def lose(backup: Path) -> None:
    (backup / IDS[1] / LOG_FILE).unlink()


def lose_node(backup: Path) -> None:
    shutil.rmtree(backup / IDS[1])


def edit_manifest(backup: Path) -> None:
    path = backup / "manifest.json"
    path.write_text(path.read_text().replace("sequencer-2", "sequencer-9"))


def cut_manifest(backup: Path) -> None:
    path = backup / "manifest.json"
    path.write_text(path.read_text()[:-10])


def link_out(backup: Path) -> None:
    path = backup / IDS[1] / LOG_FILE
    path.rename(backup.parent / "elsewhere")
    path.symlink_to(backup.parent / "elsewhere")


def link_folder_out(backup: Path) -> None:
    (backup / IDS[1]).rename(backup.parent / "elsewhere")
    (backup / IDS[1]).symlink_to(backup.parent / "elsewhere")


def pipe(backup: Path) -> None:
    lose(backup)
    os.mkfifo(backup / IDS[1] / LOG_FILE)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (flip, "SHA-256"),
        (shorten, "bytes, and the manifest says"),
        (lose, "is missing"),
        (lose_node, "is missing"),
        (edit_manifest, "digest does not fit"),
        (cut_manifest, "not a manifest"),
        (link_out, "not a plain file"),
        (link_folder_out, "symbolic link"),
        (pipe, "not a plain file"),
    ],
)
def test_damaged_backup_is_refused_even_by_force(
    cluster: Path, backup: Path, damage: Any, reason: str
) -> None:
    damage(backup)
    before = tree(cluster)

    with pytest.raises((StoreDamaged, StoreMismatch), match=reason):
        plan_restore(backup, cluster, allow_damaged=True)

    assert tree(cluster) == before


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"version": 2}, "or a later one"),
        ({"format": "other"}, "not the manifest of a Raft backup"),
        ({"nodes": []}, "no nodes"),
        ({"layout": "node"}, "one node with 3 nodes"),
        ({"source": 7}, "source"),
        ({"layout": "x"}, "layout"),
    ],
)
def test_manifest_that_makes_no_sense_is_refused(
    backup: Path, cluster: Path, change: dict[str, Any], reason: str
) -> None:
    rewrite(backup, lambda document: document.update(change))

    with pytest.raises((StoreDamaged, StoreMismatch), match=reason):
        plan_restore(backup, cluster)


@pytest.mark.parametrize(
    "path",
    ["../raft-log.db", "/etc/passwd", "snapshots/../x", "snapshots/a", "a", "", "snapshots//a"],
)
def test_manifest_that_leads_out_of_the_node_is_refused(
    backup: Path, cluster: Path, path: str
) -> None:
    rewrite(backup, lambda document: document["nodes"][0]["files"][0].update(path=path))

    with pytest.raises(StoreDamaged, match="is no file of a Raft node"):
        plan_restore(backup, cluster)


@pytest.mark.parametrize("server_id", ["..", "", "a/b", "."])
def test_manifest_with_a_server_id_that_is_no_folder_is_refused(
    backup: Path, cluster: Path, server_id: str
) -> None:
    rewrite(backup, lambda document: document["nodes"][0].update(server_id=server_id))

    with pytest.raises(StoreDamaged, match="cannot be a folder"):
        plan_restore(backup, cluster)


def rewrite(backup: Path, change: Any) -> None:
    """Change a manifest and make its digest right again."""
    path = backup / "manifest.json"
    document = json.loads(path.read_text())
    del document["digest"]
    change(document)
    document["digest"] = manifest._digest(document)
    path.write_text(json.dumps(document))


def test_manifest_reads_as_it_was_written(backup: Path) -> None:
    path = backup / "manifest.json"

    assert encode_manifest(read_manifest(path)) == path.read_bytes()


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda path: None, "no such directory"),
        (lambda path: path.touch(), "no such directory"),
        (lambda path: path.mkdir(), "neither manifest.json nor backup-metadata.txt"),
        (make_node, "a node's directory, not a backup"),
        (lambda path: (path / "raft-backup-1").mkdir(parents=True), "name one of them"),
    ],
)
def test_what_is_no_backup_is_refused_with_what_it_is(
    cluster: Path, tmp_path: Path, make: Any, text: str
) -> None:
    make(tmp_path / "it")

    with pytest.raises(NotFound, match=text):
        plan_restore(tmp_path / "it", cluster)


def make_go_backup(path: Path, source: Path, nodes: list[str]) -> Path:
    """What the original tool leaves: databases as they were, and three lines."""
    for name in nodes:
        (path / name).mkdir(parents=True, exist_ok=True)
        for file in (LOG_FILE, STABLE_FILE):
            shutil.copy(source / name / file, path / name / file)
    (path / "backup-metadata.txt").write_text(
        "Backup created: 2025-07-07T12:00:00+02:00\n"
        f"Source directory: {source}\nFiles backed up: {2 * len(nodes)}\n"
    )
    return path


def test_backup_of_the_go_tool_is_restored_with_a_warning(cluster: Path, tmp_path: Path) -> None:
    go = make_go_backup(tmp_path / "raft-backup-20250707-120000", cluster, list(IDS))
    (go / "backups").mkdir()
    (go / "backups" / "old.db").touch()
    plan = plan_restore(go, cluster)
    restore(plan, now=NOW, settled=lambda: None)

    assert plan.backup.created_at == "2025-07-07T12:00:00+02:00"
    assert "never had checksums" in plan.warnings[0]
    assert "backups/old.db is not restored" in plan.warnings
    for name in IDS:
        assert sorted(path.name for path in (cluster / name).iterdir()) == [LOG_FILE, STABLE_FILE]
        with open_node(cluster / name) as node:
            assert node.log is not None
            assert node.log.last_index == 3


def test_go_backup_of_a_node_goes_by_the_directory_that_it_names(
    cluster: Path, tmp_path: Path
) -> None:
    go = make_go_backup(tmp_path / "go", cluster / IDS[1], ["."])

    assert plan_restore(go, cluster).replacements[0].target == cluster / IDS[1]
    with pytest.raises(StoreMismatch, match="--allow-other-server"):
        plan_restore(go, cluster / IDS[0])


def test_go_backup_that_names_no_node_needs_the_nodes_own_directory(
    cluster: Path, tmp_path: Path
) -> None:
    go = make_go_backup(tmp_path / "go", cluster / IDS[1], ["."])
    (go / "backup-metadata.txt").write_text("Source directory: .\n")

    assert plan_restore(go, cluster / IDS[1]).replacements[0].target == cluster / IDS[1]
    with pytest.raises(StoreMismatch, match="does not say whose state"):
        plan_restore(go, cluster)


def test_go_backup_of_a_compacted_log_is_refused_for_its_lost_snapshot(tmp_path: Path) -> None:
    node = make_node(tmp_path / "a", first=5, last=8, snapshot=5)
    go = make_go_backup(tmp_path / "go", node, ["."])

    with pytest.raises(StoreDamaged, match="begins at entry 5 and there is no snapshot"):
        plan_restore(go, node)


def test_go_backup_with_nothing_in_it_is_refused(cluster: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"without raft-log\.db"):
        plan_restore(make_go_backup_empty(tmp_path / "go"), cluster)


def make_go_backup_empty(path: Path) -> Path:
    path.mkdir()
    (path / "backup-metadata.txt").touch()
    return path
