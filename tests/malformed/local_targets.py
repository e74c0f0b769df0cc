"""What operators write and disks hold: options, files, records, and the states of Go conductors."""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import click

from conductor.cli.addresses import parse_addresses, parse_cluster_name, parse_peers
from conductor.cli.node_config import NodeSettings, node_config
from conductor.cli.run import run
from conductor.cli.toml_file import FILE_BYTES_MAX
from conductor.config import parse_address, parse_server_id
from conductor.core.values import EpochStart, Genesis
from conductor.errors import ConfigError, InvalidArgument, StoreDamaged
from conductor.identity import load_key
from conductor.store import codec
from raft_state.raft import (
    decode_command,
    decode_configuration,
    decode_entry,
    decode_peers,
    encode_peers,
    parse_meta,
)
from tests.malformed.byte_mutation import spoiled_bytes
from tests.malformed.target import TAKEN, Target, check_text, outcome_of
from tests.raft_state import raft_samples
from tests.store import builders

TOML = b"""bind_addr = "127.0.0.1:8080"
grpc_addr = "[::1]:18080"
server_id = "node-1"
identity = 1
peers = ["http://seq-1:8080", "node-2=seq-2:18080"]
quorum_threshold = 2
paused = false
commit_rule = "reorg"
retain_bytes = 536870912
"""
"""A configuration file."""

_TOML_LINES = (
    *(b"identity = -1", b"identity = 1.5", b"identity = 18446744073709551616", b"identity = inf"),
    *(b"quorum_threshold = 0", b"quorum_threshold = 9" + b"9" * 5000, b"retain_bytes = 0x7fff"),
    *(b'bind_addr = "a:1:2"', b'bind_addr = ""', b'bind_addr = "\\u0000"', b'bind_addr = ["a:1"]'),
    *(b"peers = [[[]]]", b"peers = {}", b"peers = [1]", b'peers = "http://[::1"', b'peers = [""]'),
    *(
        b"paused = 1",
        b"paused = 1979-05-27",
        b"[table]\nx = 1",
        b"[[a]]",
        b"a.b.c = 1",
        b"x" * 5000,
    ),
    *(b"server_id = '''\n'''", b'server_id = "' + b"x" * 300 + b'"', b"config = 'other.toml'"),
    *(b'commit_rule = "none"', b'log_level = "LOUD"', b"peers = " + b"[" * 5000, b'"" = 1', b"="),
)

_WORDS = (
    *("127.0.0.1:8080", "[::1]:8080", "localhost:0", "0.0.0.0:80", "seq-1.example.org:65535"),
    *("http://seq-1:8080", "https://seq-1:8080", "node-1=seq-1:18080", "http://[fe80::1%eth0]:80"),
    *("http://a:8080,b=c:1,,", "http://user@host:1/", "http://a:1?b#c", "node-1", "op-conductor"),
)


def _spoiled_toml(chance: random.Random) -> bytes:
    if chance.random() < 0.5:
        return spoiled_bytes(chance, TOML)
    lines = TOML.splitlines()
    for _ in range(1 + chance.randrange(3)):
        lines[chance.randrange(len(lines))] = chance.choice(_TOML_LINES)
    return b"\n".join(lines)


_SCRATCH = Path(tempfile.gettempdir()) / f"malformed-{os.getpid()}"
"""A file of this process, written anew for each input that must be a file."""


def _as_file(data: bytes, read: Callable[[Path], str]) -> str:
    """What `read` makes of a private file that holds `data`."""
    descriptor = os.open(_SCRATCH, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)
    try:
        return read(_SCRATCH)
    finally:
        _SCRATCH.unlink()


def _configured(*arguments: str) -> str:
    """The class of what a command line makes: a whole configuration, or a clear error."""
    try:
        with run.make_context("run", list(arguments)) as context:
            node_config(NodeSettings(**context.params), host_name="host")
    except (ConfigError, click.UsageError) as error:
        check_text(str(error), 10 * sum(map(len, arguments)) + 10 * FILE_BYTES_MAX)
        return type(error).__name__
    return TAKEN


def _take_toml(data: bytes) -> str:
    return _as_file(data, lambda path: _configured("--config", str(path)))


def _spoiled_word(chance: random.Random) -> bytes:
    return spoiled_bytes(chance, chance.choice(_WORDS).encode())


_OPTIONS = (
    *("--bind-addr", "--grpc-addr", "--advertise-addr", "--peers", "--server-id", "--identity"),
    *("--cluster-name", "--quorum-threshold", "--leader", "--health-interval-ms", "--paused"),
    *("--commit-rule", "--retain-bytes", "--log-level"),
)


def _reading(parse: Callable[[str], object], text: str) -> Callable[[bytes], object]:
    return lambda _: parse(text)


def _take_option(data: bytes) -> str:
    """The value of an option; which one follows from the bytes."""
    text = data.decode("utf-8", "surrogateescape").replace("\0", "\N{SYMBOL FOR NULL}")
    for parse in (parse_address, parse_addresses, parse_peers, parse_cluster_name, parse_server_id):
        outcome = outcome_of(_reading(parse, text), data, ConfigError)
    return (
        outcome if len(data) % 4 else _configured(f"{_OPTIONS[sum(data) % len(_OPTIONS)]}={text}")
    )


_KEY = b"""-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIGjSZMPVVZFTBfoNLeeZTSzuTL4bZX6HKlBdwgDEQKzT
-----END PRIVATE KEY-----
"""
"""A key for tests: it has never signed anything else."""


def _take_key(data: bytes) -> str:
    return _as_file(data, lambda path: outcome_of(lambda _: load_key(path), data, ConfigError))


# Records

_CHAIN = builders.Chain()


def _stored() -> tuple[tuple[str, Callable[[bytes], object], bytes], ...]:
    """Each record of a store: its decoder and a well-formed one."""
    key = builders.a_key("a")
    return (
        ("genesis", Genesis.from_bytes, builders.GENESIS.to_bytes()),
        (
            "genesis with a leader",
            Genesis.from_bytes,
            replace(builders.GENESIS, initial_leader=builders.a_member("b").server_id).to_bytes(),
        ),
        (
            "genesis with a head",
            Genesis.from_bytes,
            replace(builders.GENESIS, head=builders.HEAD).to_bytes(),
        ),
        ("epoch start", EpochStart.from_bytes, EpochStart(key, "is the first voter").to_bytes()),
        ("stored key", codec.decode_member_key, codec.encode_member_key(key)),
        ("stored founding", codec.decode_founding, codec.encode_founding(builders.FOUNDING)),
        ("stored inheritance", codec.decode_founding, codec.encode_founding(builders.INHERITED)),
        ("stored tail", codec.decode_tail, codec.encode_tail(codec.Tail(3, builders.START))),
    )


def _spoiled(valid: bytes) -> Callable[[random.Random], bytes]:
    return lambda chance: spoiled_bytes(chance, valid)


def _damaged(decode: Callable[[bytes], object]) -> Callable[[bytes], str]:
    return lambda data: outcome_of(decode, data, StoreDamaged, InvalidArgument)


def _raft_values() -> tuple[tuple[str, Callable[[bytes], object], bytes], ...]:
    """Each value of a Raft state, as Go op-conductors write them."""
    return (
        ("Raft entry", decode_entry, raft_samples.HELLO),
        ("Raft configuration", decode_configuration, raft_samples.THREE_SERVERS),
        ("Raft peers", decode_peers, encode_peers(["10.0.0.1:50050", "10.0.0.2:50050"])),
        ("Raft command", decode_command, bytes(600)),
        ("Raft snapshot", parse_meta, raft_samples.META_TEXT.encode()),
    )


def _heavy(valid: bytes) -> Iterator[bytes]:
    yield valid * 10_000
    yield valid + bytes(2**22)


def _heavy_toml() -> Iterator[bytes]:
    yield b"peers = [" + b'"",' * 300_000
    yield TOML * 3000


TARGETS = (
    Target("configuration file", 2, _spoiled_toml, _take_toml, _heavy_toml),
    Target("option", 2, _spoiled_word, _take_option),
    Target("key file", 1, _spoiled(_KEY), _take_key),
    *(
        Target(name, 1, _spoiled(valid), _damaged(decode), partial(_heavy, valid))
        for name, decode, valid in (*_stored(), *_raft_values())
    ),
)
