"""Keys: where they come from, who may read them, and what their signatures prove."""

from __future__ import annotations

import dataclasses
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from conductor.config import Config
from conductor.errors import ConfigError
from conductor.identity import (
    create_key,
    development_signer,
    load_key,
    load_or_create,
    signer_for,
    verify_signature,
)
from conductor.ports import Signer


def write_key(
    path: Path,
    key: Ed25519PrivateKey | ec.EllipticCurvePrivateKey | x25519.X25519PrivateKey,
    password: bytes | None = None,
) -> None:
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password is not None:
        encryption = serialization.BestAvailableEncryption(password)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )
    path.touch(mode=0o600)
    path.write_bytes(pem)


@pytest.mark.parametrize(
    ("seed", "public_key"),
    [
        # Made with sha256sum and `openssl pkey`.
        (0, "f6d5f7c0cd8e84e7cdc93cca5d92d879705c0ef56c321c97922bfb2eb2fae940"),
        (1, "c896ceb7ac8aa392a41b4d96eea424f8964136515de6a7fefc485b13a9fae620"),
        (2**64 - 1, "923a68ab482f62711210c56043fdc984d3224fbf569e0d7ed19c5dbfe75805e6"),
    ],
)
def test_development_key_follows_from_its_seed(seed: int, public_key: str) -> None:
    assert development_signer(seed).public_key.hex() == public_key


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_seed_out_of_range_is_refused(seed: int) -> None:
    with pytest.raises(ConfigError, match="--identity must be a number from 0 to"):
        development_signer(seed)


def test_signature_is_that_of_rfc_8032() -> None:
    """The third vector of RFC 8032, section 7.1."""
    public_key = bytes.fromhex("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025")
    signature = bytes.fromhex(
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
    )

    assert verify_signature(public_key, b"\xaf\x82", signature)
    assert not verify_signature(public_key, b"\xaf\x83", signature)


def test_signature_is_good_for_its_message_and_key_alone() -> None:
    signer: Signer = development_signer(1)
    signature = signer.sign(b"message")

    assert len(signer.public_key) == 32
    assert len(signature) == 64
    assert verify_signature(signer.public_key, b"message", signature)
    assert not verify_signature(signer.public_key, b"massage", signature)
    assert not verify_signature(development_signer(2).public_key, b"message", signature)


@given(
    st.binary() | st.binary(min_size=32, max_size=32),
    st.binary(),
    st.binary() | st.binary(min_size=64, max_size=64),
)
def test_garbage_is_a_bad_signature_and_no_error(key: bytes, text: bytes, signature: bytes) -> None:
    assert verify_signature(key, text, signature) in (True, False)


def test_key_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "data" / "identity.pem"

    made = load_or_create(path)

    assert load_or_create(path).public_key == load_key(path).public_key == made.public_key
    assert path.stat().st_mode & 0o7777 == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_new_keys_differ(tmp_path: Path) -> None:
    assert create_key(tmp_path / "a").public_key != create_key(tmp_path / "b").public_key


def test_racing_processes_get_one_key(tmp_path: Path) -> None:
    path = tmp_path / "identity.pem"

    with ThreadPoolExecutor(8) as pool:
        signers = list(pool.map(load_or_create, [path] * 8))

    assert len({signer.public_key for signer in signers}) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_new_key_replaces_nothing(tmp_path: Path) -> None:
    path = tmp_path / "identity.pem"
    path.write_text("precious")

    with pytest.raises(ConfigError, match="exists and is kept"):
        create_key(path)

    assert path.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o610, 0o644])
def test_key_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "identity.pem"
    create_key(path)
    path.chmod(mode)

    with pytest.raises(ConfigError, match=f"mode {mode:04o}.*run `chmod 600 {path}`"):
        load_or_create(path)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_key_of_its_owner_alone_is_taken(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "identity.pem"
    made = create_key(path)
    path.chmod(mode)

    assert load_key(path).public_key == made.public_key


@pytest.mark.parametrize(
    "key", [ec.generate_private_key(ec.SECP256R1()), x25519.X25519PrivateKey.generate()]
)
def test_other_kinds_of_keys_are_refused(
    tmp_path: Path, key: ec.EllipticCurvePrivateKey | x25519.X25519PrivateKey
) -> None:
    path = tmp_path / "other.pem"
    write_key(path, key)

    with pytest.raises(ConfigError, match="another kind of key than ed25519"):
        load_key(path)


def test_encrypted_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "encrypted.pem"
    write_key(path, Ed25519PrivateKey.generate(), password=b"secret")

    with pytest.raises(ConfigError, match="unencrypted PEM"):
        load_key(path)


@pytest.mark.parametrize("content", [b"", b"garbage", b"-----BEGIN PRIVATE KEY-----\n", b"\xff"])
def test_file_without_a_key_is_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "identity.pem"
    path.touch(mode=0o600)
    path.write_bytes(content)

    with pytest.raises(ConfigError, match="holds no private key"):
        load_or_create(path)

    assert path.read_bytes() == content


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """A pipe too, at once: nobody waits for its writer."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)

    for path in (pipe, tmp_path):
        with pytest.raises(ConfigError, match="is no file that could hold a key"):
            load_or_create(path)


def test_place_that_takes_no_key_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "identity.pem"

    with pytest.raises(ConfigError, match="cannot be read: Not a directory"):
        load_or_create(path)
    with pytest.raises(ConfigError, match=r"cannot be written to .*: File exists"):
        create_key(path)


def test_configuration_names_the_identity(tmp_path: Path) -> None:
    seeded = Config(identity_seed=1, data_dir=tmp_path)
    named = Config(identity_key_file=tmp_path / "key.pem", data_dir=tmp_path)
    own = dataclasses.replace(named, identity_key_file=None)

    assert signer_for(seeded).public_key == development_signer(1).public_key
    with pytest.raises(ConfigError, match=r"there is no key .*key\.pem"):
        signer_for(named)
    assert not list(tmp_path.iterdir())
    key = create_key(tmp_path / "key.pem")
    assert signer_for(named).public_key == key.public_key
    assert signer_for(own).public_key == load_key(tmp_path / "identity.pem").public_key
