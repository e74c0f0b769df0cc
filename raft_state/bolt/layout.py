"""Where everything is in a BoltDB file: page headers, meta pages, element headers.

Invariant: packing and unpacking only. Nothing here judges more than one structure at a time, so the
reader, the writer and the check share one description of the format. Integers are little-endian.
Source: the file format of boltdb/bolt 1.3.1 and go.etcd.io/bbolt 1.3 to 1.5, version 2 of it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

MAGIC = 0xED0CDAED
VERSION = 2

PAGE_BYTES_MIN = 512
PAGE_BYTES_MAX = 65536
PAGE_BYTES_DEFAULT = 4096

FILE_BYTES_MIN = 4096
"""What bolt reads first: it takes a file that is shorter for no database, whatever its pages."""

BRANCH = 0x01
LEAF = 0x02
META = 0x04
FREELIST = 0x10

BUCKET_ELEMENT = 0x01
"""The flag of a leaf element whose value is a bucket."""

NO_FREELIST = 0xFFFF_FFFF_FFFF_FFFF
"""The freelist page of a database that does not store its free pages."""
COUNT_OVERFLOWS = 0xFFFF
"""The count of a freelist page whose real count is the first of its ids."""

KEY_BYTES_MAX = 32768
VALUE_BYTES_MAX = 2**31 - 2
ELEMENTS_MAX = COUNT_OVERFLOWS - 1

PAGE_HEADER = struct.Struct("<QHHI")
"""Page id, flags, count, overflow (further pages that belong to this one)."""
LEAF_ELEMENT = struct.Struct("<IIII")
"""Flags, position of the key from the start of the element, key size, value size."""
BRANCH_ELEMENT = struct.Struct("<IIQ")
"""Position of the key from the start of the element, key size, page of the child."""
BUCKET_HEADER = struct.Struct("<QQ")
"""Root page (0: the bucket is inline and follows), sequence."""
PAGE_ID = struct.Struct("<Q")

PAGE_HEADER_BYTES = PAGE_HEADER.size
ELEMENT_BYTES = LEAF_ELEMENT.size
BUCKET_HEADER_BYTES = BUCKET_HEADER.size

_META = struct.Struct("<IIIIQQQQQ")
_CHECKSUM = struct.Struct("<Q")
META_BYTES = _META.size + _CHECKSUM.size

_FNV_OFFSET = 0xCBF29CE484222325
_FNV_PRIME = 0x100000001B3
_MASK_64 = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Meta:
    """One of the two meta pages: the root of everything that its transaction committed."""

    page_bytes: int
    root_page: int
    """Of the bucket that holds all named buckets."""
    freelist_page: int
    """NO_FREELIST when free pages are not stored."""
    page_count: int
    """The high-water mark: the first page that was never allocated."""
    transaction_id: int
    magic: int = MAGIC
    version: int = VERSION
    flags: int = 0
    root_sequence: int = 0

    def pack(self) -> bytes:
        """The 64 bytes after the page header, checksum included."""
        body = _META.pack(
            self.magic,
            self.version,
            self.page_bytes,
            self.flags,
            self.root_page,
            self.root_sequence,
            self.freelist_page,
            self.page_count,
            self.transaction_id,
        )
        return body + _CHECKSUM.pack(fnv1a_64(body))


@dataclass(frozen=True, slots=True)
class StoredMeta:
    """A meta page as it was found, with the checksum that it carries and the one it should."""

    meta: Meta
    checksum: int
    checksum_expected: int


def unpack_meta(data: bytes) -> StoredMeta:
    """Read META_BYTES bytes; whatever they are, they give a result that has yet to be judged."""
    body = data[: _META.size]
    magic, version, page_bytes, flags, root, sequence, freelist, count, transaction = _META.unpack(
        body
    )
    (checksum,) = _CHECKSUM.unpack_from(data, _META.size)
    meta = Meta(
        page_bytes=page_bytes,
        root_page=root,
        freelist_page=freelist,
        page_count=count,
        transaction_id=transaction,
        magic=magic,
        version=version,
        flags=flags,
        root_sequence=sequence,
    )
    return StoredMeta(meta, checksum, fnv1a_64(body))


def fnv1a_64(data: bytes) -> int:
    """The 64-bit FNV-1a hash that protects meta pages."""
    value = _FNV_OFFSET
    for byte in data:
        value = ((value ^ byte) * _FNV_PRIME) & _MASK_64
    return value
