"""What is wrong with a database: as a finding to collect, and as the error that ends a reading.

Invariant: both name the page and the reason, so that an operator can look at the very bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from conductor.errors import StoreDamaged


@dataclass(frozen=True, slots=True)
class Damage:
    """One thing that contradicts the format; a warning is one that nobody loses data by."""

    page: int | None
    """None when no single page is at fault."""
    reason: str
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        return self.reason if self.page is None else f"page {self.page}: {self.reason}"


class DatabaseDamaged(StoreDamaged):
    """A database cannot be read any further; what was read before is as it was written."""

    def __init__(self, path: Path | None, page: int | None, reason: str) -> None:
        self.path = path
        self.page = page
        self.reason = reason
        super().__init__(f"{path}: {self.damage}" if path is not None else str(self.damage))

    @property
    def damage(self) -> Damage:
        """The same as a finding."""
        return Damage(self.page, self.reason)
