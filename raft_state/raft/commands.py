"""The payloads that op-conductor keeps in command entries and in the state of a snapshot.

Law: any bytes give a `CommandPayload`: a header, or a problem that names the field. Nothing is
copied of a payload that today's op-conductor can read, however large it is.
"""

from __future__ import annotations

from dataclasses import dataclass

from conductor.errors import InvalidPayload, TooLarge
from conductor.payload import (
    PAYLOAD_SSZ_BYTES_MAX,
    PayloadHeader,
    payload_header,
    validate_ssz,
)

_ROOT_BYTES = 32
_LEGACY_VERSIONS = {0: 1, 1: 2, 2: 3}
"""The version of a payload by the byte before it."""
_APPLIED_VERSIONS = (3, 4)


@dataclass(frozen=True, slots=True)
class CommandPayload:
    """What was found in the data of a command."""

    data_bytes: int
    header: PayloadHeader | None = None
    """None when there is no payload to be read."""
    problem: str = ""
    """Why there is none; beside a header it is why op-conductor would not take this payload."""
    is_legacy: bool = False
    """Whether it is in the format of before 2024: a version byte and no parent beacon block root
    (which is zero in the header)."""

    @property
    def is_applied(self) -> bool:
        """Whether a Go op-conductor of today can read it; any other command changes nothing."""
        return self.header is not None and not self.problem


def decode_command(
    data: bytes | memoryview | None, *, all_transactions: bool = False
) -> CommandPayload:
    """Read the data of a command entry, or the state of a snapshot.

    With `all_transactions` the bounds of each are checked, as op-conductor does before it takes a
    payload; without, the cost is the same at any size.
    """
    if data is None or not len(data):
        return CommandPayload(0, problem="empty: op-conductor ignores it")
    try:
        header = _header(data, all_transactions)
    except (InvalidPayload, TooLarge) as error:
        return _legacy(data, all_transactions) or CommandPayload(len(data), problem=str(error))
    problem = ""
    if header.version not in _APPLIED_VERSIONS:
        problem = f"a V{header.version} payload, which op-conductor does not read any more"
    return CommandPayload(len(data), header, problem)


def _header(data: bytes | memoryview, all_transactions: bool) -> PayloadHeader:
    # Both read at fixed positions only: a view is as good as bytes, and spares copying megabytes.
    read = validate_ssz if all_transactions else payload_header
    return read(data)  # type: ignore[arg-type]  # see above; a test holds them to it


def _legacy(data: bytes | memoryview, all_transactions: bool) -> CommandPayload | None:
    """The payload behind a version byte; None when it is none of these either."""
    version = _LEGACY_VERSIONS.get(data[0])
    if version is None or len(data) > PAYLOAD_SSZ_BYTES_MAX:
        return None
    try:
        header = _header(bytes(_ROOT_BYTES) + data[1:], all_transactions)
    except (InvalidPayload, TooLarge):
        return None
    if header.version != version:
        return None
    problem = "in the format of before 2024, which op-conductor does not read any more"
    return CommandPayload(len(data), header, problem, is_legacy=True)
