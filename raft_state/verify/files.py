"""Opens the database files of a node for a verification, and judges what comes before meaning.

Invariant: whatever is in the way becomes a finding, never an error, so that one bad file does not
hide what is wrong with the others.
"""

from __future__ import annotations

from pathlib import Path

from conductor.errors import NotFound, StoreError, StoreLocked
from raft_state.bolt import Bucket, Database, DatabaseDamaged, check_database, open_database
from raft_state.raft import CONF, LOGS, shown
from raft_state.verify.finding import Findings
from raft_state.verify.meter import Progress
from raft_state.verify.rules import Rule, Severity


def open_file(path: Path, findings: Findings, lock_timeout_s: float) -> Database | None:
    """The database, to be closed by the caller; or None, with the reason among the findings."""
    place = path.name
    try:
        return open_database(path, lock_timeout_s=lock_timeout_s)
    except DatabaseDamaged as error:
        add_damage(error, findings, place)
    except StoreLocked:
        findings.add(Rule.FILE_LOCKED, "another process uses the file", place=place)
    except StoreError as error:
        findings.add(Rule.FILE_UNREADABLE, str(error), place=place)
    except NotFound as error:
        if not path.exists():
            findings.add(Rule.FILE_MISSING, "the file is missing", place=place)
        elif path.is_file() and path.stat().st_size == 0:
            findings.add(Rule.FILE_EMPTY, "the file has 0 bytes", place=place)
        else:
            findings.add(Rule.FILE_UNREADABLE, str(error), place=place)
    return None


def review_structure(
    database: Database, findings: Findings, place: str, progress: Progress
) -> bool:
    """Judge every page of a database; whether it is whole."""
    is_whole = True
    for damage in check_database(database, progress=progress):
        severity = Severity(damage.severity)
        is_whole &= severity is not Severity.ERROR
        where = "" if damage.page is None else f"page {damage.page}: "
        findings.add(
            Rule.STRUCTURE if severity is Severity.ERROR else Rule.STRUCTURE_ODD,
            f"{where}{damage.reason}",
            place=place,
            page=damage.page,
        )
    return is_whole


def review_buckets(
    database: Database, findings: Findings, place: str, *, wanted: bytes
) -> Bucket | None:
    """The bucket that Raft reads in this file; the others are told of. Raises DatabaseDamaged."""
    found: Bucket | None = None
    for name, bucket in database.buckets():
        if name == wanted:
            found = bucket
        elif name not in (LOGS, CONF):
            detail = f"there is a bucket {shown(name)}"
            findings.add(Rule.BUCKET_UNKNOWN, detail, place=place)
        elif bucket.first() is not None:
            detail = f"the bucket {shown(name)} has contents here"
            findings.add(Rule.BUCKET_STRAY, detail, place=place)
    if found is None:
        findings.add(Rule.BUCKET_MISSING, f"there is no bucket {shown(wanted)}", place=place)
    else:
        for name, _ in found.buckets():
            detail = f"the bucket {shown(wanted)} holds another one, {shown(name)}"
            findings.add(Rule.BUCKET_NESTED, detail, place=place)
    return found


def add_damage(error: DatabaseDamaged, findings: Findings, place: str) -> None:
    """Tell of damage that ended a reading."""
    findings.add(Rule.STRUCTURE, str(error.damage), place=place, page=error.page)
