"""What was signed a moment ago is not computed again."""

from __future__ import annotations

from conductor.runtime.signatures import RepeatSigner
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


def test_message_that_comes_again_is_signed_once() -> None:
    inner = CountingSigner()
    signer = RepeatSigner(inner)

    signatures = [signer.sign(message) for message in (b"one", b"one", b"two", b"one")]

    assert signatures == [signer_of("a").sign(m) for m in (b"one", b"one", b"two", b"one")]
    assert inner.signed == [b"one", b"two", b"one"]
    assert signer.public_key == inner.public_key
