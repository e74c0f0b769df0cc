"""Where `export-payload` writes to: files and pipes, and never over what is Raft's."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from tests.raft_state.conftest import OpConductorInit
from tests.raft_state.flawed_states import IDS, SOUND, make_cluster, make_node, payload

EXPORT = "export-payload --state-dir state --format ssz"


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return make_cluster(tmp_path / "state", SOUND, SOUND)


@pytest.mark.parametrize(
    "out",
    [
        "raft-log.db",
        "RAFT-STABLE.DB",
        "other/raft-stable.db",
        f"state/{IDS[0]}/raft-log.db",
        f"state/{IDS[0]}/payload.ssz",
        f"state/{IDS[1]}/snapshots/payload.ssz",
        f"other/{IDS[2]}/payload.ssz",
        f"other/{IDS[2]}/snapshots/1-2-3/payload.ssz",
        "lost/payload.ssz",
        "there/payload.ssz",
    ],
)
@pytest.mark.parametrize("force", ["", "--force"])
def test_state_of_a_node_is_never_written_to(
    op_conductor_init: OpConductorInit, out: str, force: str
) -> None:
    make_node(Path("other"), server_id=IDS[2])
    Path("other", IDS[2], "snapshots", "1-2-3").mkdir(parents=True)
    Path("state", IDS[1], "snapshots").mkdir()
    Path("state", "lost", "snapshots").mkdir(parents=True)
    Path("lost").symlink_to(Path("state", "lost"))
    Path("there").symlink_to(Path("state", IDS[0]))
    before = {path: path.stat() for path in Path().rglob("*")}

    result = op_conductor_init(f"{EXPORT} --out {out} {force}")

    assert result.exit_code == 5, result.output
    assert "nothing is written there, name another file" in result.stderr
    assert set(Path().rglob("*")) == set(before)
    assert all(path.stat().st_ino == before[path].st_ino for path in before if path.is_file())


def test_link_is_left_alone(op_conductor_init: OpConductorInit) -> None:
    Path("mine").write_text("mine")
    Path("out").symlink_to("mine")

    result = op_conductor_init(f"{EXPORT} --out out --force")

    assert result.exit_code == 5
    assert "is a symbolic link: name the file that is meant" in result.stderr
    assert (Path("out").is_symlink(), Path("mine").read_text()) == (True, "mine")


def test_socket_is_left_alone(op_conductor_init: OpConductorInit) -> None:
    os.mknod("out", stat.S_IFSOCK | 0o600)

    result = op_conductor_init(f"{EXPORT} --out out --force")

    assert result.exit_code == 5
    assert "neither a file nor a pipe" in result.stderr
    assert stat.S_ISSOCK(Path("out").stat().st_mode)


@pytest.mark.parametrize("force", ["", "--force"])
@pytest.mark.parametrize("linked", [False, True])
def test_pipe_is_written_into_and_stays(
    op_conductor_init: OpConductorInit, force: str, linked: bool
) -> None:
    os.mkfifo("pipe")
    Path("link").symlink_to("pipe")
    # Read and write, so that neither end waits for the other.
    descriptor = os.open("pipe", os.O_RDWR)
    try:
        result = op_conductor_init(f"{EXPORT} --out {'link' if linked else 'pipe'} {force}")

        assert result.exit_code == 0, result.output
        assert os.read(descriptor, 65536) == payload(4)
    finally:
        os.close(descriptor)
    assert stat.S_ISFIFO(Path("pipe").stat().st_mode)
    assert Path("link").is_symlink()


def test_facts_need_no_file(op_conductor_init: OpConductorInit) -> None:
    before = sorted(Path().rglob("*"))

    result = op_conductor_init(f"{EXPORT} -o json")

    facts = json.loads(result.stdout)
    assert (facts["height"], facts["out"], facts["size_bytes"]) == (4, None, len(payload(4)))
    assert result.stderr == ""
    assert sorted(Path().rglob("*")) == before
