"""Signs, and not twice in a row for the same bytes.

Invariant: what is remembered was computed, of exactly these bytes; ed25519 signs the same message
the same way every time. A member that has nothing new repeats its last acknowledgement at every
heartbeat.
"""

from __future__ import annotations

from conductor.ports import Signer


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
