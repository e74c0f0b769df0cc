"""Random damage: 20,000 flipped bits, and each is harmless, named, or one entry's own affair.

Nothing protects keys and values from a flip, so at most one of them may come out different. What
holds a database together is protected: a flip there has to be named with its page, unless nothing
is read there. A damaged meta page may make the transaction before the last one count, with a
warning.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from raft_state.bolt import DatabaseDamaged, check_database, layout, open_database
from tests.raft_state import bolt_images as images
from tests.raft_state.bolt_contents import Contents, contents_at

GOLDEN = Path(__file__).parent / "golden"
FLIPS = 4000


@dataclass
class Target:
    """A database to damage one bit at a time, and what may be read from it."""

    path: Path
    data: bytes
    contents: list[Contents]
    """After the last transaction, and after the one before that if it is still there."""
    outcomes: Counter[str] = field(default_factory=Counter)

    def flip(self, descriptor: int, position: int, bit: int) -> None:
        """Read and check the database with this bit flipped; then put it back."""
        os.pwrite(descriptor, bytes([self.data[position] ^ 1 << bit]), position)
        where = f"byte {position}, bit {bit}"
        self.outcomes[self.read(where)] += 1
        os.pwrite(descriptor, self.data[position : position + 1], position)

    def read(self, where: str) -> str:
        """What came of reading; fails when it is neither right nor named."""
        try:
            with open_database(self.path) as database:
                findings = list(check_database(database))
                found = {
                    name: [(key, bytes(value)) for key, value in bucket.items()]
                    for name, bucket in database.buckets()
                }
                warned = bool(database.warnings)
        except DatabaseDamaged as damaged:
            return "named" if damaged.page is not None else "damage without a page"
        if findings and findings[0].page is None:
            return "damage without a page"
        if found == self.contents[0]:
            return "found by the check" if findings else "harmless"
        if warned:
            assert found in self.contents, where
            return "older transaction"
        assert differences(found, self.contents[0]) == 1, where
        return "one value"


def differences(found: Contents, expected: Contents) -> int:
    """How many names, keys and values differ, those of one entry being one."""
    if [len(items) for items in found.values()] != [len(items) for items in expected.values()]:
        return 2
    names = sum(one != other for one, other in zip(found, expected, strict=True))
    items = sum(
        one != other
        for mine, theirs in zip(found.values(), expected.values(), strict=True)
        for one, other in zip(mine, theirs, strict=True)
    )
    return names + items


def older_contents(path: Path, data: bytes) -> list[Contents]:
    """What the meta page that does not count leads to, if it leads anywhere."""
    with open_database(path) as database:
        offset = database.meta_page * database.page_bytes
    path.write_bytes(data[:offset] + bytes(512) + data[offset + 512 :])
    try:
        return [contents_at(path)]
    except DatabaseDamaged:
        return []
    finally:
        path.write_bytes(data)


@pytest.mark.parametrize(
    "name",
    [
        "r173-bb139/gen3/sequencer-1/raft-log.db",
        "r173-bb139/gen1/sequencer-1/raft-stable.db",
        "r112-bolt131/log10/raft-log.db",
        "r173-bb139/newtimeformat/raft-log.db",
        "",
    ],
)
def test_flipped_bits_are_harmless_or_named_or_one_value(tmp_path: Path, name: str) -> None:
    data = (GOLDEN / name).read_bytes() if name else images.sample()
    path = tmp_path / "raft.db"
    path.write_bytes(data)
    target = Target(path, data, [contents_at(path), *older_contents(path, data)])
    used = [position for position, byte in enumerate(data) if byte]
    generator = random.Random(f"flips of {name}")
    descriptor = os.open(path, os.O_RDWR)
    try:
        for _ in range(FLIPS // 2):
            target.flip(descriptor, generator.randrange(len(data)), generator.randrange(8))
            # Most of a database is zeros: half of the flips go where something is written.
            target.flip(descriptor, generator.choice(used), generator.randrange(8))
    finally:
        os.close(descriptor)
    assert target.outcomes["damage without a page"] == 0
    assert target.outcomes.total() == FLIPS
    assert path.read_bytes() == data
    for outcome in ("harmless", "named", "one value", "found by the check"):
        assert target.outcomes[outcome] > 10, target.outcomes


def test_every_bit_that_holds_the_trees_together_is_named(tmp_path: Path) -> None:
    data = images.sample()
    path = tmp_path / "raft.db"
    path.write_bytes(data)
    target = Target(path, data, [contents_at(path)])
    elements = {images.ROOT: 2, images.LOGS_ROOT: 3, 4: 3, 5: 3, 6: 3}
    descriptor = os.open(path, os.O_RDWR)
    for page, count in elements.items():
        start = page * images.PAGE_BYTES
        end = start + layout.PAGE_HEADER_BYTES + count * layout.ELEMENT_BYTES
        # Nothing follows the last value that could show a wrong size of it or of its key.
        sizes = range(end - 8, end) if page in (4, 5, 6) else range(0)
        for position in range(start, end):
            for bit in range(8):
                before = target.outcomes["one value"]
                target.flip(descriptor, position, bit)
                assert target.outcomes["one value"] == before or position in sizes
    os.close(descriptor)
    assert target.outcomes["harmless"] == 0
    assert target.outcomes["named"] > 2000


def test_overwritten_stretches_never_escape_the_named_errors(tmp_path: Path) -> None:
    path = tmp_path / "raft.db"
    data = images.sample()
    generator = random.Random("stretches")
    named = 0
    for _ in range(1000):
        start = generator.randrange(2 * images.PAGE_BYTES, len(data))
        junk = generator.randbytes(generator.choice((2, 4, 8, 64, 4096)))
        path.write_bytes((data[:start] + junk + data[start + len(junk) :])[: len(data)])
        with open_database(path) as database:
            assert all(finding.reason for finding in check_database(database))
            try:
                for _, bucket in database.buckets():
                    assert bucket.count() <= len(images.LOGS)
            except DatabaseDamaged as damaged:
                named += damaged.page is not None
    assert named >= 90
