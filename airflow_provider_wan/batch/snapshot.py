"""The rows as they were when an attempt began: what the whole attempt works on, on whichever worker.

They are kept beside the ledger, compressed: a file that is rewritten while the batch runs is the next attempt's matter.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_wan.batch.ledger import BatchLedger
from airflow_provider_wan.durable import LedgerError

ROWS_KEY = "wan_rows"
PART_BYTES = 48_000
MOST_PARTS = 200
"""About 9 MB compressed; rows that hold media themselves are not kept."""


class NotWhole(LedgerError):
    """A worker died while it kept the rows, or a part of them was deleted."""


@dataclass(frozen=True)
class Snapshot:
    """The rows of an attempt, with what was left out of them.

    :param skipped: by number of the row (from 1), why it was left out.
    :param contents: digests of the media that are files, by path as it is written.
    """

    rows: list[Mapping[str, Any]]
    defaults: Mapping[str, Any]
    skipped: dict[int, str]
    contents: Mapping[str, str] = field(default_factory=dict)


def keep_rows(ledger: BatchLedger, snapshot: Snapshot) -> bool:
    """Keep the rows for the workers that follow; return whether they were kept.

    :raises LedgerError: when the store did not take them; nothing was submitted.
    """
    head = ledger.head
    kept: list[Any] = [snapshot.rows, snapshot.defaults, snapshot.skipped]
    text = json.dumps(kept + [snapshot.contents] * bool(snapshot.contents), default=str)
    packed = base64.b85encode(zlib.compress(text.encode(), 6)).decode()
    parts = [packed[first : first + PART_BYTES] for first in range(0, len(packed), PART_BYTES)]
    digest = hashlib.sha256(packed.encode()).hexdigest()[:16]
    if not ledger.is_durable or len(parts) > MOST_PARTS or '"data:' in text:
        head.kept_rows, head.kept_digest = 0, None
        return False
    if head.kept_digest != digest:
        for number, part in enumerate(parts):
            ledger.write_value(_name(number), part)
        head.kept_rows, head.kept_digest = len(parts), digest
    return True


def kept_rows(ledger: BatchLedger) -> Snapshot | None:
    """Return the rows that the attempt was begun with, ``None`` when they were not kept.

    :raises LedgerError: when they cannot be read; nothing was submitted.
    """
    head = ledger.head
    if not head.kept_rows:
        return None
    packed = "".join(str(ledger.read_value(_name(number)) or "") for number in range(head.kept_rows))
    if hashlib.sha256(packed.encode()).hexdigest()[:16] != head.kept_digest:
        raise NotWhole("The rows that the batch was begun with are not whole in its ledger; nothing was submitted")
    rows, defaults, skipped, *rest = json.loads(zlib.decompress(base64.b85decode(packed)))
    return Snapshot(rows, defaults, {int(number): why for number, why in skipped.items()}, *rest)


def known_contents(ledger: BatchLedger) -> Mapping[str, str]:
    """Return the digests of media that an earlier attempt knew; nothing where they are not whole any more.

    :raises LedgerError: when they cannot be read; nothing was submitted.
    """
    try:
        kept = kept_rows(ledger)
    except NotWhole:
        return {}
    return kept.contents if kept else {}


def _name(number: int) -> str:
    return f"{ROWS_KEY}_{number:04d}"
