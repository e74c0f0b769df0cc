"""Signs and verifies, and does neither twice in a row for the same bytes.

Invariant: what is remembered is what was computed, of exactly these bytes: ed25519 signs the same
message the same way every time. A member that has nothing new repeats its last acknowledgement at
every heartbeat, and half of what an idle node computed was that one signature.
"""

from __future__ import annotations

from conductor.core.certificate import VerifySignature
from conductor.ports import Signer

KEYS_MAX = 64
"""So many members are remembered; there are seldom more than seven."""


class RepeatSigner:
    """Implements `ports.Signer` over another one."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self._last: tuple[bytes, bytes] | None = None

    @property
    def public_key(self) -> bytes:
        """32 bytes."""
        return self._signer.public_key

    def sign(self, message: bytes) -> bytes:
        """The signature of `message`."""
        if self._last is None or self._last[0] != message:
            self._last = (message, self._signer.sign(message))
        return self._last[1]


class RepeatVerifier:
    """A `VerifySignature` over another one."""

    def __init__(self, verify: VerifySignature) -> None:
        self._verify = verify
        self._last_good: dict[bytes, tuple[bytes, bytes]] = {}
        """By public key: a message, and a signature that was found to be good for it."""

    def __call__(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        """Whether `signature` is good for `message`. What is not is looked at every time."""
        if self._last_good.get(public_key) == (message, signature):
            return True
        is_good = self._verify(public_key, message, signature)
        if is_good:
            if len(self._last_good) >= KEYS_MAX:
                self._last_good.clear()
            self._last_good[public_key] = (message, signature)
        return is_good
