"""Snapshot directories: exact files, Raft's rules for listing them, and damage."""

from __future__ import annotations

import base64
import json
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conductor.errors import InvalidArgument, StoreError, StoreFull
from conductor.payload import encode
from raft_state.raft import (
    Configuration,
    EncodingDamaged,
    Server,
    SnapshotMeta,
    Suffrage,
    crc64,
    encode_peers,
    list_snapshots,
    meta_text,
    parse_meta,
    text_of,
    write_snapshot,
)
from tests.payload.builders import an_envelope
from tests.raft_state.raft_samples import GOLDEN, META_TEXT

MEMBERS = Configuration(
    (
        Server("sequencer-1", "127.0.0.1:47101"),
        Server("sequencer-9", "127.0.0.1:47109", Suffrage.NONVOTER),
    )
)
META = SnapshotMeta(
    version=1,
    snapshot_id="3-68-1795168092077",
    index=68,
    term=3,
    configuration=MEMBERS,
    configuration_index=1,
    peers=bytes.fromhex("91af") + b"127.0.0.1:47101",
    size=645,
    crc=base64.b64decode("86uQl+gU5tk="),
)


def a_snapshot(directory: Path, index: int, *, term: int = 1, state: bytes = b"state") -> Path:
    """A finished snapshot in `directory`."""
    return write_snapshot(
        directory,
        index=index,
        term=term,
        configuration=MEMBERS,
        configuration_index=1,
        state=state,
        unix_ms=1_000,
    )


def change_meta(snapshot: Path, **fields: object) -> None:
    """Overwrite fields of a snapshot's meta.json; None removes one."""
    path = snapshot / "meta.json"
    document = json.loads(path.read_text()) | fields
    path.write_text(json.dumps({name: value for name, value in document.items() if value != "-"}))


# The checksum


@pytest.mark.parametrize(
    ("data", "checksum"),
    [(b"", 0), (b"a", 0x330284772E652B05), (b"123456789", 0x995DC9BBDF1939FA)],
)
def test_checksum_is_crc64_xz(data: bytes, checksum: int) -> None:
    assert crc64(data) == slow_crc64(data) == checksum


def slow_crc64(data: bytes) -> int:
    """The definition, bit by bit."""
    crc = 2**64 - 1
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0xC96C5795D7870F42 if crc & 1 else 0)
    return crc ^ (2**64 - 1)


@given(st.binary(max_size=100), st.integers(0, 100))
def test_checksum_can_be_continued(data: bytes, cut: int) -> None:
    whole = crc64(data)
    assert whole == slow_crc64(data)
    assert crc64(memoryview(data)[cut:], crc64(data[:cut])) == whole


# The text of meta.json


def test_real_meta_is_read_and_written() -> None:
    assert parse_meta(META_TEXT.encode()) == META
    assert meta_text(META) == META_TEXT


def test_meta_of_an_unfinished_snapshot_has_no_checksum() -> None:
    text = META_TEXT.replace('"Size":645,"CRC":"86uQl+gU5tk="', '"Size":0,"CRC":null')
    meta = parse_meta(text.encode())
    assert (meta.size, meta.crc) == (0, None)
    assert meta_text(meta) == text


@pytest.mark.parametrize("members", [None, Configuration()])
def test_no_members_are_written_as_null(members: Configuration | None) -> None:
    text = meta_text(SnapshotMeta(1, "1-1-1", 1, 1, members, 1, b"\xc0", 0, bytes(8)))
    assert '"Peers":"wA==","Configuration":{"Servers":null},' in text


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ('a"b\\c/d', r'"a\"b\\c/d"'),
        ("<&>", r'"\u003c\u0026\u003e"'),
        ("a\n\r\t\x00\x1fb", r'"a\n\r\t\u0000\u001fb"'),
        ("kö\u2028\u2029\x7f", '"kö\\u2028\\u2029\x7f"'),
        (text_of(b"\xff\xfea"), r'"\ufffd\ufffda"'),
    ],
)
def test_text_is_escaped_as_go_escapes_it(text: str, quoted: str) -> None:
    meta = SnapshotMeta(1, text, 1, 1, MEMBERS, 1, b"", 0, None)
    assert f'"ID":{quoted},' in meta_text(meta)


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        (META_TEXT + "rubbish {", {}),
        (" \r\n\t" + META_TEXT, {}),
        (
            META_TEXT.lower()
            .replace("86uql+gu5tk=", "86uQl+gU5tk=")
            .replace("ka8xmjcumc4wlje6ndcxmde=", "ka8xMjcuMC4wLjE6NDcxMDE="),
            {},
        ),
        (META_TEXT.replace("Term", "TERM").replace("Size", "\u017fize"), {}),
        (META_TEXT.replace('{"V', '{"New":[{"a":1e400},null,"\\u0000"],"V', 1), {}),
        (META_TEXT.replace('"Index":68', '"Index":7,"Index":68'), {}),
        (META_TEXT.replace("gU5tk=", "gU5\\ntk=\\r\\n"), {}),
        (META_TEXT.replace('"Index":68', '"Index":null'), {"index": 0}),
        (META_TEXT.replace('"Size":645', '"Size":-1'), {"size": -1}),
        (META_TEXT.replace('"86uQl+gU5tk="', "[0,255,null]"), {"crc": b"\x00\xff\x00"}),
        ("null", {"version": 0, "snapshot_id": "", "crc": None}),
        ("{}", {"configuration": None, "peers": b"", "term": 0}),
        ('{"Configuration":{}}', {"configuration": Configuration()}),
        ('{"Configuration":{"Servers":null}}', {"configuration": Configuration()}),
        (
            '{"Configuration":{"Servers":[null]}}',
            {"configuration": Configuration((Server("", ""),))},
        ),
        ('{"ID":"\\ud800x"}', {"snapshot_id": "\ufffdx"}),
        ('{"ID":"\\ud83d\\ude00"}', {"snapshot_id": "\U0001f600"}),
    ],
)
def test_meta_is_read_as_go_reads_json(text: str, changes: dict[str, object]) -> None:
    meta = parse_meta(text.encode())
    if not changes:
        assert meta == META
    for name, value in changes.items():
        assert getattr(meta, name) == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no JSON"),
        ("[]", "the snapshot is no JSON object"),
        ("5", "the snapshot is no JSON object"),
        ("\ufeff{}", "no JSON"),
        ('{"Version":NaN}', "NaN is no number"),
        ('{"Version":"1"}', "Version is no whole number"),
        ('{"Version":1.0}', "Version is no whole number"),
        ('{"Version":1e0}', "Version is no whole number"),
        ('{"Version":true}', "Version is no whole number"),
        ('{"Index":-1}', "Index is -1, it must be 0 to"),
        ('{"Index":18446744073709551616}', "Index is 18446744073709551616"),
        ('{"Size":9223372036854775808}', "Size is 9223372036854775808"),
        ('{"Index":' + "9" * 5000 + "}", "no JSON that could be read"),
        ('{"ID":5}', "ID is no text"),
        ('{"ID":"a\nb"}', "no JSON"),
        ('{"CRC":"86uQl+gU5tk"}', "CRC is no base64"),
        ('{"CRC":"86uQ l+g"}', "CRC is no base64"),
        ('{"CRC":7}', "CRC is no base64 text"),
        ('{"Peers":[256]}', "Peers is 256"),
        ('{"Peers":{}}', "Peers is no base64 text"),
        ('{"Configuration":[]}', "Configuration is no JSON object"),
        ('{"Configuration":{"Servers":{}}}', "Servers is no list"),
        ('{"Configuration":{"Servers":[5]}}', "a server is no JSON object"),
        ("[" * 100_000, "no JSON that could be read"),
        ('{"x":' * 100_000, "no JSON that could be read"),
    ],
)
def test_meta_that_go_refuses_is_damage(text: str, reason: str) -> None:
    with pytest.raises(EncodingDamaged, match=reason):
        parse_meta(text.encode())


def test_every_truncation_of_meta_is_damage() -> None:
    whole = META_TEXT.rstrip().encode()
    for size in range(len(whole)):
        with pytest.raises(EncodingDamaged):
            parse_meta(whole[:size])


# Writing


def test_snapshot_is_written_as_raft_writes_it(tmp_path: Path) -> None:
    state = (GOLDEN / "ssz" / "envelope_v4_10.bin").read_bytes()
    directory = write_snapshot(
        tmp_path,
        index=68,
        term=3,
        configuration=MEMBERS,
        configuration_index=1,
        state=memoryview(state),
        unix_ms=1_795_168_092_077,
    )

    assert directory == tmp_path / "3-68-1795168092077"
    assert sorted(path.name for path in tmp_path.iterdir()) == [directory.name]
    assert sorted(path.name for path in directory.iterdir()) == ["meta.json", "state.bin"]
    assert (directory / "state.bin").read_bytes() == state
    crc = base64.b64encode(slow_crc64(state).to_bytes(8, "big")).decode()
    expected = META_TEXT.replace("645", str(len(state))).replace("86uQl+gU5tk=", crc)
    assert (directory / "meta.json").read_text() == expected
    assert directory.stat().st_mode & 0o777 == 0o755
    assert (directory / "meta.json").stat().st_mode & 0o777 == 0o644


def test_written_snapshot_is_listed_without_a_problem(tmp_path: Path) -> None:
    state = encode(an_envelope(4))
    directory = a_snapshot(tmp_path, 68, state=state)

    listing = list_snapshots(tmp_path)

    (snapshot,) = listing.usable
    assert (snapshot.directory, snapshot.configuration) == (directory, MEMBERS)
    assert (snapshot.state_bytes, snapshot.problems, snapshot.remarks) == (len(state), (), ())
    assert listing.ignored == ()
    assert snapshot.payload().is_applied
    header = snapshot.payload().header
    assert header is not None
    assert header.height == 1000


def test_state_is_durable_before_the_snapshot_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    real_sync, real_rename = os.fsync, Path.rename

    def sync(descriptor: int) -> None:
        steps.append("sync " + Path(f"/proc/self/fd/{descriptor}").readlink().name)
        real_sync(descriptor)

    def rename(path: Path, target: Path) -> Path:
        steps.append(f"rename {path.name} {target.name}")
        return real_rename(path, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "rename", rename)
    a_snapshot(tmp_path, 5)

    assert steps == [
        "sync state.bin",
        "sync meta.json",
        "sync 1-5-1000.tmp",
        "rename 1-5-1000.tmp 1-5-1000",
        f"sync {tmp_path.name}",
    ]


@pytest.mark.parametrize("suffix", ["", ".tmp"])
def test_snapshot_never_replaces_another(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"1-5-1000{suffix}").mkdir()
    with pytest.raises(InvalidArgument, match="is there already"):
        a_snapshot(tmp_path, 5)
    assert [path.name for path in tmp_path.iterdir()] == [f"1-5-1000{suffix}"]


def test_failed_writing_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(StoreFull, match="No space left"):
        a_snapshot(tmp_path, 5)
    assert list(tmp_path.iterdir()) == []


def test_directory_for_snapshots_is_not_created(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="No such file"):
        a_snapshot(tmp_path / "missing", 5)
    assert list(tmp_path.iterdir()) == []


# Listing


def test_missing_directory_holds_no_snapshots(tmp_path: Path) -> None:
    missing = tmp_path / "snapshots"
    assert list_snapshots(missing).listed == ()
    assert not missing.exists()


def test_newest_is_by_number_of_term_and_then_of_index(tmp_path: Path) -> None:
    for term, index in [(1, 100), (1, 9), (10, 2), (9, 50)]:
        a_snapshot(tmp_path, index, term=term)
    names = [snapshot.directory.name for snapshot in list_snapshots(tmp_path).listed]
    assert names == ["10-2-1000", "9-50-1000", "1-100-1000", "1-9-1000"]


def test_same_term_and_index_are_ordered_by_name_as_text(tmp_path: Path) -> None:
    for unix_ms in (1000, 999):
        write_snapshot(
            tmp_path,
            index=1,
            term=1,
            configuration=MEMBERS,
            configuration_index=1,
            state=b"",
            unix_ms=unix_ms,
        )
    names = [snapshot.directory.name for snapshot in list_snapshots(tmp_path).listed]
    assert names == ["1-1-999", "1-1-1000"]


def test_what_raft_passes_over_is_told_with_the_reason(tmp_path: Path) -> None:
    a_snapshot(tmp_path, 1)
    (tmp_path / "permTest").touch()
    shutil.copytree(tmp_path / "1-1-1000", tmp_path / "1-2-1000.tmp")
    (tmp_path / "link").symlink_to(tmp_path / "1-1-1000")
    truncated = a_snapshot(tmp_path, 3) / "meta.json"
    truncated.write_bytes(truncated.read_bytes()[:-20])
    (a_snapshot(tmp_path, 4) / "meta.json").unlink()
    change_meta(a_snapshot(tmp_path, 5), Version=2)

    listing = list_snapshots(tmp_path)

    assert [snapshot.meta.index for snapshot in listing.listed] == [1]
    told = {found.path.name: (found.reason, found.is_finished) for found in listing.ignored}
    reason, is_finished = told.pop("1-3-1000")
    assert is_finished
    assert reason.startswith("meta.json cannot be read: at byte")
    assert told == {
        "permTest": ("no directory", False),
        "link": ("no directory", False),
        "1-2-1000.tmp": ("unfinished: its writing was interrupted", False),
        "1-4-1000": ("meta.json cannot be read: No such file or directory", True),
        "1-5-1000": ("unknown version 2", True),
    }


def test_listed_snapshot_that_cannot_be_loaded_has_a_problem(tmp_path: Path) -> None:
    a_snapshot(tmp_path, 1)
    changed = a_snapshot(tmp_path, 2) / "state.bin"
    changed.write_bytes(b"stale")
    a_snapshot(tmp_path, 3).rename(tmp_path / "renamed")
    (a_snapshot(tmp_path, 4) / "state.bin").unlink()
    change_meta(a_snapshot(tmp_path, 5), CRC=None)
    fifo = a_snapshot(tmp_path, 6) / "state.bin"
    fifo.unlink()
    os.mkfifo(fifo)

    listing = list_snapshots(tmp_path)

    stale, intact = crc64(b"stale"), crc64(b"state")
    problems = {s.meta.index: s.problems for s in listing.listed}
    assert problems == {
        1: (),
        2: (f"state.bin has the checksum {stale:016x}, meta.json says {intact:016x}",),
        3: ("it says that its name is 1-3-1000",),
        4: ("state.bin cannot be read: No such file or directory",),
        5: (f"state.bin has the checksum {intact:016x}, meta.json says none",),
        6: ("state.bin cannot be read: it is no regular file",),
    }
    assert [snapshot.meta.index for snapshot in listing.usable] == [1]
    unchecked = list_snapshots(tmp_path, check_state=False)
    assert 2 in [snapshot.meta.index for snapshot in unchecked.usable]


def test_endless_meta_is_not_read(tmp_path: Path) -> None:
    with (a_snapshot(tmp_path, 1) / "meta.json").open("r+b") as file:
        file.truncate(1 << 40)
    (ignored,) = list_snapshots(tmp_path).ignored
    assert ignored.reason.endswith("it is far too long")


def test_wrong_size_is_odd_but_no_problem(tmp_path: Path) -> None:
    change_meta(a_snapshot(tmp_path, 1), Size=7)
    (snapshot,) = list_snapshots(tmp_path).usable
    assert snapshot.remarks == ("state.bin has 5 bytes, meta.json says 7",)


def test_empty_state_has_the_checksum_zero(tmp_path: Path) -> None:
    a_snapshot(tmp_path, 1, state=b"")
    (snapshot,) = list_snapshots(tmp_path).usable
    assert (snapshot.meta.crc, snapshot.state_bytes) == (bytes(8), 0)
    assert snapshot.payload().problem == "empty: op-conductor ignores it"


def test_members_of_a_version_0_are_its_peers(tmp_path: Path) -> None:
    change_meta(a_snapshot(tmp_path, 1), Version=0, Configuration="-")
    (snapshot,) = list_snapshots(tmp_path).usable
    address = "127.0.0.1:47101"
    assert snapshot.configuration == Configuration((Server(address, address),))

    change_meta(tmp_path / "1-1-1000", Version=0, Peers="AQ==")
    (snapshot,) = list_snapshots(tmp_path).listed
    assert snapshot.problems[0].startswith("its peers cannot be read: at byte 0")


@pytest.mark.parametrize("name", ["envelope_v3_1.bin", "envelope_v4_10.bin", "legacy_v3_1.bin"])
def test_payload_of_the_state_is_read(tmp_path: Path, name: str) -> None:
    state = (GOLDEN / "ssz" / name).read_bytes()
    a_snapshot(tmp_path, 1, state=state)
    (snapshot,) = list_snapshots(tmp_path).usable
    payload = snapshot.payload()
    assert payload.header is not None
    assert payload.is_legacy == name.startswith("legacy")
    assert snapshot.read_state() == state


def test_state_that_is_no_payload_is_told(tmp_path: Path) -> None:
    a_snapshot(tmp_path, 1, state=b"x" * 1000)
    (snapshot,) = list_snapshots(tmp_path).usable
    assert snapshot.payload().problem.startswith("extraData: ")


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SERVERS = st.builds(Server, TEXTS, TEXTS, st.integers(-(2**63), 2**63 - 1))
U64 = st.integers(0, 2**64 - 1)
METAS = st.builds(
    SnapshotMeta,
    version=st.integers(0, 1),
    snapshot_id=TEXTS,
    index=U64,
    term=U64,
    configuration=st.lists(SERVERS, max_size=4).map(tuple).map(Configuration),
    configuration_index=U64,
    peers=st.lists(TEXTS, max_size=4).map(encode_peers),
    size=st.integers(-(2**63), 2**63 - 1),
    crc=st.none() | st.binary(max_size=9),
)


@given(METAS)
def test_metas_survive_writing_and_reading(meta: SnapshotMeta) -> None:
    assert parse_meta(meta_text(meta).encode()) == meta
    assert json.loads(meta_text(meta))["ID"] == meta.snapshot_id


@given(st.text(max_size=50) | st.binary(max_size=50).map(lambda data: data.decode("latin-1")))
def test_any_text_is_a_meta_or_damage(text: str) -> None:
    try:
        parse_meta(text.encode("utf-8", "replace"))
    except EncodingDamaged:
        return
