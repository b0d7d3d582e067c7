"""The items of a batch: one request per row, and all of them checked before the first one is paid."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_wan.client.errors import Violation, WanRequestError
from airflow_provider_wan.client.requests import REQUEST_TYPES, VideoRequest, build_request
from airflow_provider_wan.client.tasks import Mode
from airflow_provider_wan.client.vendors.base import Vendor

MOST_REPORTED = 50
ITEM_FIELDS = ("id", "mode", "store_to")
"""What a row may hold beside its request."""

ALL_FIELDS = frozenset(name for kind in REQUEST_TYPES.values() for name in kind.model_fields)


@dataclass(frozen=True)
class Item:
    """One generation of a batch.

    :param key: what the ledger knows it by: the request's fingerprint and, for equal requests, which of them.
    :param id: what people know it by: the row's ``id``, else its number (from 1).
    :param model: the model it goes to, at the vendor.
    """

    key: str
    id: str
    index: int
    request: VideoRequest
    model: str
    store_to: str | None = None

    @property
    def profile(self) -> str:
        """What tasks of the same kind share, to learn how long they take."""
        return f"{self.model}/{self.request.resolution}/{self.request.duration}"


def build_items(
    rows: Iterable[Mapping[str, Any]],
    defaults: Mapping[str, Any],
    vendor: Vendor,
    account: tuple[str | None, ...],
    *,
    is_checking: bool = True,
) -> tuple[list[Item], list[str]]:
    """Build and check all items; return them and the warnings.

    :param defaults: request fields for rows that do not have their own; those of other modes are left out.
    :param account: what tells accounts apart in the fingerprint.
    :param is_checking: ``False`` for rows that were checked before and have not changed.
    :raises WanRequestError: listing the violations of all rows.
    """
    items: list[Item] = []
    wrong: list[Violation] = []
    warnings: list[str] = []
    seen: Counter[str] = Counter()
    for index, row in enumerate(rows, 1):
        name = _name(row, index)
        try:
            request = _request(row, defaults)
            found = vendor.check(request).warnings if is_checking else ()
        except WanRequestError as error:
            wrong += [replace(item, field=f"row {name}: {item.field}") for item in error.violations]
            continue
        warnings += [f"row {name}: {warning}" for warning in found]
        fingerprint = request.fingerprint(*account)
        seen[fingerprint] += 1
        key = f"{fingerprint[:24]}.{seen[fingerprint]}"
        items.append(Item(key, name, index, request, vendor.model_of(request), _place(row)))
    wrong += _same_ids(items)
    if not items and not wrong:
        wrong.append(Violation("requests", "holds at least one row", "none", hard=True))
    refuse_all(wrong)
    return items, warnings


def refuse_all(wrong: list[Violation]) -> None:
    """Refuse the batch when anything is wrong with it.

    :raises WanRequestError: progress the first ``MOST_REPORTED`` violations.
    """
    if not wrong:
        return
    shown = wrong[:MOST_REPORTED]
    more = f"\n  … and {len(wrong) - len(shown)} more" if len(wrong) > len(shown) else ""
    lines = "\n  - ".join(["The batch was not started, nothing is paid:", *map(str, shown)])
    raise WanRequestError(lines + more, violations=wrong)


def digest_of(items: Iterable[Item]) -> str:
    """Return what changes when rows come, go, change or move."""
    text = "\n".join(f"{item.key} {item.id} {item.store_to or ''}" for item in items)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _name(row: Mapping[str, Any], index: int) -> str:
    given = row.get("id")
    return str(index) if given is None or str(given).strip() == "" else str(given).strip()


def _place(row: Mapping[str, Any]) -> str | None:
    given = str(row.get("store_to") or "").strip()
    return given or None


def _request(row: Mapping[str, Any], defaults: Mapping[str, Any]) -> VideoRequest:
    own = {name: value for name, value in row.items() if value is not None}
    mode = own.get("mode") or defaults.get("mode") or Mode.TEXT_TO_VIDEO
    kind = REQUEST_TYPES.get(mode)
    others = ALL_FIELDS - kind.model_fields.keys() if kind else frozenset()
    fields = {name: value for name, value in defaults.items() if name not in others} | own
    return build_request(mode, {name: value for name, value in fields.items() if name not in ITEM_FIELDS})


def _same_ids(items: list[Item]) -> Iterator[Violation]:
    for name, count in Counter(item.id for item in items).items():
        if count > 1:
            yield Violation("id", "is used once", f"{name!r} in {count} rows", "videos and manifest lines go by it")
