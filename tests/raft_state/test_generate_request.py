"""Requests for clusters that could not start: all that is wrong with one is said at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from conductor.errors import ConfigError
from raft_state.backup.manifest import MANIFEST_FILE
from raft_state.backup.saved import GO_METADATA_FILE
from raft_state.backup.swap import new_swap
from raft_state.generate import ClusterRequest, make_plan
from raft_state.generate.plan import BACKUP_FILES, SERVER_ID_BYTES_MAX
from raft_state.node import DISCARDED, REPLACED

REQUEST = ClusterRequest(
    addresses=["a:1", "b:2", "c:3"], server_ids=["x", "y", "z"], initial_leader="x"
)


def problems(**changes: object) -> str:
    with pytest.raises(ConfigError) as caught:
        make_plan(replace(REQUEST, **changes))  # type: ignore[arg-type] # fields of a request
    return str(caught.value)


def accepts(**changes: object) -> None:
    make_plan(replace(REQUEST, **changes))  # type: ignore[arg-type] # fields of a request


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"addresses": []}, "--nodes is missing"),
        ({"server_ids": []}, "--server-ids is missing"),
        ({"initial_leader": ""}, "--initial-leader is missing"),
        ({"addresses": ["a:1", "b:2"]}, "--nodes has 2 addresses and --server-ids has 3 ids"),
        ({"server_ids": ["x", "y", ""]}, "--server-ids: item 3 is empty"),
        ({"addresses": ["a:1", " ", "c:3"]}, "--nodes: item 2 is empty"),
        ({"server_ids": ["x", "y", "y"]}, "--server-ids: 'y' is there 2 times"),
        ({"addresses": ["a:1", "b:2", "b:2"]}, "--nodes: 'b:2' is there 2 times"),
        ({"addresses": ["a:1", "b:2", "B.:2"]}, "'b:2' and 'B.:2' are the same address"),
        ({"addresses": ["a:1", "[::1]:2", "[0::1]:02"]}, "are the same address"),
        ({"initial_leader": "X"}, "--initial-leader: 'X' is not one of --server-ids"),
        ({"initial_leader": "w"}, "--initial-leader: 'w' is not one of --server-ids"),
        ({"nonvoters": ["x"]}, "--initial-leader: 'x' is one of --nonvoters"),
        ({"nonvoters": ["w"]}, "--nonvoters: 'w' is not one of --server-ids"),
        ({"nonvoters": ["y", "y"]}, "--nonvoters: 'y' is there 2 times"),
        ({"nonvoters": ["y", ""]}, "--nonvoters has an empty item"),
        ({"initial_term": 0}, "Raft takes a node in term 0 for one that has no state"),
        ({"initial_term": -1}, "--initial-term -1"),
        ({"initial_term": 2**63}, "every election adds 1"),
    ],
    ids=str,
)
def test_problem_is_named_with_its_flag(changes: dict[str, object], words: str) -> None:
    assert words in problems(**changes)


@pytest.mark.parametrize(
    ("server_id", "words"),
    [
        (".", "no folder of its own"),
        ("..", "no folder of its own"),
        ("a/b", "path separator"),
        ("a\\b", "path separator"),
        ("/etc", "path separator"),
        ("a\0b", "cannot be printed"),
        ("a\nb", "cannot be printed"),
        ("a\x1b[2J", "cannot be printed"),
        ("\udc80", "cannot be printed"),
        (" a", "blanks"),
        ("a ", "blanks"),
        ("a" * 256, "256 bytes"),
        ("é" * 128, "256 bytes"),
        ("X", "same folder"),
        ("raft-log.db", "Raft's own files"),
        ("Raft-Stable.db", "Raft's own files"),
        ("snapshots", "Raft's own files"),
        ("x.replaced-20250707-120000", "names of backups"),
        ("RAFT-BACKUP-1", "names of backups"),
        ("manifest.json", "a file in every backup"),
        ("Backup-Metadata.txt", "a file in every backup"),
        ("a" * 226, "225 at most, since a restore puts 30 more"),
    ],
)
def test_id_that_cannot_be_a_folder_is_refused(server_id: str, words: str) -> None:
    found = problems(server_ids=["x", "y", server_id])

    assert words in found
    assert repr(server_id) in found


def test_ids_that_differ_in_their_form_of_accents_are_refused() -> None:
    assert "same folder" in problems(server_ids=["x", "\u00e9", "e\u0301"])


@pytest.mark.parametrize(
    "server_id", ["a" * 225, "séquenceur", "10.0.0.1:50050", ".hidden", "-", "a b", "日本"]
)
def test_id_that_can_be_a_folder_is_taken(server_id: str) -> None:
    accepts(server_ids=["x", "y", server_id])


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("host", "names no port"),
        ("[::1]", "names no port"),
        ("host:", "for a port"),
        ("host:http", "for a port"),
        ("host:-1", "for a port"),
        ("host:٣", "for a port"),
        ("host:0", "has port 0"),
        ("host:65536", "has port 65536"),
        ("host:" + "9" * 5000, "has port 99999"),
        (":50050", "names no host"),
        ("[]:50050", "no IP address that exists"),
        ("::1:50050", "in brackets"),
        ("[::g]:1", "no IP address that exists"),
        ("[10.0.0.1]:1", "no IP address that exists"),
        ("10.0.0.256:1", "no IP address that exists"),
        ("0.0.0.0:1", "not reached"),
        ("[::]:1", "not reached"),
        ("http://host:1", "is a URL"),
        ("ho st:1", "no host name"),
        ("-host:1", "no host name"),
        ("a..b:1", "no host name"),
        ("é:1", "no host name"),
        ("a" * 64 + ":1", "no host name"),
        ("a." * 127 + "a:1", "no host name"),
        ("host/path:1", "no host name"),
    ],
    ids=lambda text: text[:30],
)
def test_address_that_cannot_be_dialled_is_refused(address: str, words: str) -> None:
    found = problems(addresses=["a:1", "b:2", address])

    assert words in found
    assert repr(address)[:40] in found


@pytest.mark.parametrize(
    "address",
    [
        "[::1]:50050",
        "[fe80::1%eth0]:50050",
        "10.0.0.1:65535",
        "localhost:1",
        "sequencer-1.a-namespace-with-a-name.svc.cluster.local:50050",
        "sequencer-1.svc.cluster.local.:50050",
        "under_score:50050",
        "a." * 126 + "a:1",
    ],
)
def test_address_that_can_be_dialled_is_taken(address: str) -> None:
    accepts(addresses=["a:1", "b:2", address])


@pytest.mark.parametrize("term", [1, 2**63 - 1])
def test_terms_at_the_limits_are_taken(term: int) -> None:
    accepts(initial_term=term)


def test_all_problems_are_said_at_once() -> None:
    found = problems(
        addresses=["a:1", "a"], server_ids=["x", "..", "x"], initial_leader="w", initial_term=0
    )

    assert found.split("\n  - ") == [
        "6 things are wrong, nothing was written:",
        (
            "--nodes has 2 addresses and --server-ids has 3 ids: each node has one of both, "
            "in the same order"
        ),
        "--server-ids: 'x' is there 2 times",
        "--server-ids: '..' is no folder of its own",
        "--nodes: 'a' names no port: write host:port, such as sequencer-1:50050",
        "--initial-leader: 'w' is not one of --server-ids",
        (
            "--initial-term 0: terms count from 1; Raft takes a node in term 0 for one that has "
            "no state"
        ),
    ]


def test_only_problem_is_said_in_a_line() -> None:
    assert "\n" not in problems(initial_leader="")


def test_misspelt_leader_is_guessed() -> None:
    found = problems(server_ids=["sequencer-1", "y", "z"], initial_leader="sequencer1")

    assert found.endswith("did you mean 'sequencer-1'?")


def test_names_that_restore_and_backup_make_are_all_known() -> None:
    longest = new_swap(Path("/nowhere") / ("a" * SERVER_ID_BYTES_MAX), "20250707-120000-999")
    name = longest.replaced.name.replace(REPLACED, DISCARDED)

    assert len(name) == 255
    assert set(BACKUP_FILES) == {MANIFEST_FILE, GO_METADATA_FILE}
