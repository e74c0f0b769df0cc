"""What was signed or verified a moment ago is not computed again, and nothing else is believed."""

from __future__ import annotations

from conductor.identity import verify_signature
from conductor.runtime.signatures import KEYS_MAX, RepeatSigner, RepeatVerifier
from tests.runtime.kit import signer_of


class CountingSigner:
    """Signs, and counts how often."""

    def __init__(self) -> None:
        self._signer = signer_of("a")
        self.public_key = self._signer.public_key
        self.signed: list[bytes] = []

    def sign(self, message: bytes) -> bytes:
        self.signed.append(message)
        return self._signer.sign(message)


class CountingVerifier:
    """Verifies, and counts how often."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        self.asked += 1
        return verify_signature(public_key, message, signature)


def test_message_that_comes_again_is_signed_once() -> None:
    inner = CountingSigner()
    signer = RepeatSigner(inner)

    signatures = [signer.sign(message) for message in (b"one", b"one", b"two", b"one")]

    assert signatures == [signer_of("a").sign(m) for m in (b"one", b"one", b"two", b"one")]
    assert inner.signed == [b"one", b"two", b"one"]
    assert signer.public_key == inner.public_key


def test_signature_that_comes_again_is_verified_once() -> None:
    inner = CountingVerifier()
    verify = RepeatVerifier(inner)
    for _ in range(3):
        for name in ("a", "b"):
            assert verify(signer_of(name).public_key, b"one", signer_of(name).sign(b"one"))

    assert inner.asked == 2


def test_nothing_is_believed_that_was_not_verified_as_a_whole() -> None:
    verify = RepeatVerifier(verify_signature)
    a, b = signer_of("a"), signer_of("b")
    one = a.sign(b"one")
    assert verify(a.public_key, b"one", one)

    assert not verify(a.public_key, b"two", one)
    assert not verify(a.public_key, b"one", b.sign(b"one"))
    assert not verify(b.public_key, b"one", one)
    assert not verify(a.public_key, b"one", b"")
    assert verify(a.public_key, b"one", one)


def test_bad_signature_is_looked_at_every_time() -> None:
    inner = CountingVerifier()
    verify = RepeatVerifier(inner)
    for _ in range(2):
        assert not verify(signer_of("a").public_key, b"one", bytes(64))

    assert inner.asked == 2


def test_no_more_keys_are_remembered_than_there_are_members() -> None:
    asked: list[bytes] = []

    def trusting(public_key: bytes, _message: bytes, _signature: bytes) -> bool:
        asked.append(public_key)
        return True

    verify = RepeatVerifier(trusting)
    keys = [number.to_bytes(32, "big") for number in range(KEYS_MAX + 1)]
    for key in keys:
        verify(key, b"", b"")
    verify(keys[-1], b"", b"")
    verify(keys[0], b"", b"")

    assert asked == [*keys, keys[0]]
