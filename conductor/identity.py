"""A node's ed25519 identity: what signs its acknowledgements, and how others check them.

Invariant: a private key leaves this module only into a file of mode 0600, which appears whole or
not at all and never replaces another. A key file that others may read is not used.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from conductor.config import Config
from conductor.errors import ConfigError

IDENTITY_FILE = "identity.pem"
"""The name of the key that a node makes for itself in its data directory."""

DEVELOPMENT_TAG = b"op-conductor/dev-identity/v1"
SEED_MAX = 2**64 - 1
KEY_FILE_BYTES_MAX = 64 * 1024


class Ed25519Signer:
    """Signs with one private key."""

    def __init__(self, private_key: Ed25519PrivateKey) -> None:
        self._private_key = private_key
        self._public_key = private_key.public_key().public_bytes_raw()

    @property
    def public_key(self) -> bytes:
        """32 bytes."""
        return self._public_key

    def sign(self, message: bytes) -> bytes:
        """64 bytes."""
        return self._private_key.sign(message)


def verify_signature(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` is good for `message`. Never raises: all three may be garbage."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def development_signer(seed: int) -> Ed25519Signer:
    """The identity that `--identity` derives from a seed, 0 to 2^64 - 1: secret from nobody."""
    if not 0 <= seed <= SEED_MAX:
        raise ConfigError(f"--identity must be a number from 0 to {SEED_MAX}, not {seed}")
    secret = hashlib.sha256(DEVELOPMENT_TAG + seed.to_bytes(8, "big")).digest()
    return Ed25519Signer(Ed25519PrivateKey.from_private_bytes(secret))


def signer_for(config: Config) -> Ed25519Signer:
    """The identity that the configuration names; made in the data directory if it names none."""
    if config.identity_seed is not None:
        return development_signer(config.identity_seed)
    if config.identity_key_file is not None:
        return load_key(config.identity_key_file)
    return load_or_create(config.data_dir / IDENTITY_FILE)


def load_or_create(path: Path) -> Ed25519Signer:
    """The key in that file, made first if there is none; ConfigError as for the two steps."""
    pem = _read_private(path)
    if pem is None:
        # None when another process was quicker: then its key counts.
        return _create(path) or load_key(path)
    return _parse(path, pem)


def create_key(path: Path) -> Ed25519Signer:
    """Write a new key to a new file of mode 0600, durably, and its directory if need be.

    ConfigError when there is a file already, or the file system does not take it.
    """
    signer = _create(path)
    if signer is None:
        raise ConfigError(
            f"{path} exists and is kept: name another file, or remove it if nothing uses that key"
        )
    return signer


def load_key(path: Path) -> Ed25519Signer:
    """The key in that file; ConfigError when others may read it, or it holds no ed25519 key."""
    pem = _read_private(path)
    if pem is None:
        raise ConfigError(f"there is no key {path}: make one with `op-conductor keygen`")
    return _parse(path, pem)


def _parse(path: Path, pem: bytes) -> Ed25519Signer:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError(
            f"{path} holds no private key in unencrypted PEM: make one with `op-conductor keygen`"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(
            f"{path} holds another kind of key than ed25519: make one with `op-conductor keygen`"
        )
    return Ed25519Signer(key)


def _read_private(path: Path) -> bytes | None:
    """The bytes of the file, None when there is none; ConfigError when others may read it."""
    try:
        # Without O_NONBLOCK, opening a named pipe would wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            _check_private(path, os.fstat(descriptor).st_mode)
            return os.read(descriptor, KEY_FILE_BYTES_MAX)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"the key {path} cannot be read: {error.strerror}") from error


def _check_private(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise ConfigError(f"{path} is no file that could hold a key")
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(
            f"{path} is open to other users (mode {stat.S_IMODE(mode):04o}): "
            f"run `chmod 600 {path}`, and make a new key if others may have read it"
        )


def _create(path: Path) -> Ed25519Signer | None:
    """Write a new key to that file; None when there is a file, which is left alone."""
    private_key = Ed25519PrivateKey.generate()
    pem = private_key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    scratch = path.parent / f".{path.name}.{secrets.token_hex(8)}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _write_synced(scratch, pem)
            # Unlike a rename, a link never replaces what is there.
            path.hardlink_to(scratch)
        except FileExistsError:
            return None
        finally:
            scratch.unlink(missing_ok=True)
        _sync_directory(path.parent)
    except OSError as error:
        raise ConfigError(f"the key cannot be written to {path}: {error.strerror}") from error
    return Ed25519Signer(private_key)


def _write_synced(path: Path, data: bytes) -> None:
    """Write a new file that nobody else can read, not even for a moment."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
