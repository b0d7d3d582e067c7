"""The items of a batch: one request per row, and all of them checked before the first one is paid."""

from __future__ import annotations

import difflib
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from airflow_provider_wan.client.errors import Violation, WanRequestError
from airflow_provider_wan.client.requests import REQUEST_TYPES, VideoRequest, build_request, with_stand_ins
from airflow_provider_wan.client.tasks import Mode
from airflow_provider_wan.client.urls import shorten
from airflow_provider_wan.client.vendors.base import Vendor

MOST_REPORTED = 50
MOST_TAKES = 1000
ITEM_FIELDS = ("id", "mode", "store_to", "takes", "seeds", "wan_conn_id")
"""What a row may hold beside its request."""

ALL_FIELDS = frozenset(name for kind in REQUEST_TYPES.values() for name in kind.model_fields)


@dataclass(frozen=True)
class Item:
    """One generation of a batch.

    :param key: what the ledger knows it by: the request's fingerprint and, for equal requests, which of them.
    :param id: what people know it by: the row's ``id``, else its number (from 1).
    :param model: the model it goes to, at the vendor.
    :param fingerprint: of the request and the account.
    :param take: which of the row's ``takes`` it is, from 1.
    :param wan_conn_ids: the connections that the row names for itself.
    """

    key: str
    id: str
    index: int
    request: VideoRequest
    model: str
    store_to: str | None = None
    fingerprint: str = ""
    take: int = 1
    takes: int = 1
    wan_conn_ids: tuple[str, ...] = ()

    @property
    def profile(self) -> str:
        """What tasks of the same kind share, to learn how long they take."""
        return f"{self.model}/{self.request.resolution}/{self.request.duration}"


VendorsOf = Callable[[tuple[str, ...]], list[Vendor]]


@dataclass(frozen=True)
class Built:
    """What became of rows.

    :param skipped: by number of the row, why it was left out.
    """

    items: list[Item]
    warnings: list[str]
    skipped: dict[int, str]


def build_items(
    rows: Sequence[Mapping[str, Any]],
    defaults: Mapping[str, Any],
    vendor: Vendor,
    account: tuple[str | None, ...],
    *,
    is_checking: bool = True,
    is_skipping: bool = False,
    skipped: Mapping[int, str] | None = None,
    media: RowMedia | None = None,
    vendors: VendorsOf | None = None,
) -> Built:
    """Build and check all items.

    :param defaults: request fields for rows that do not have their own; those of other modes are left out.
    :param account: what tells accounts apart in the fingerprint.
    :param is_checking: ``False`` for rows that were checked before and have not changed.
    :param is_skipping: leave rows out that break a rule, unless all do.
    :param skipped: rows that were left out before.
    :param media: of the rows, where they are files; without it they are not looked at.
    :param vendors: returns the vendors of the connections that a row may go to, where there are several accounts.
    :raises WanRequestError: listing the violations of all rows.
    """
    items: list[Item] = []
    wrong: list[Violation] = []
    warnings: list[str] = []
    left_out = dict(skipped or {})
    seen: Counter[str] = Counter()
    unknown = _unknown_fields(rows)
    in_all = {name for name, where in unknown.items() if len(where) == len(rows) > 1}
    # A header is a mistake in the file and not in a row.
    wrong += [_unknown(name, unknown[name], len(rows)) for name in unknown if name in in_all or not is_skipping]
    media = media or _NotLookedAt(vendor)
    built = {
        index: _built({key: value for key, value in row.items() if key not in unknown}, defaults)
        for index, row in enumerate(rows, 1)
        if index not in left_out
    }
    media.read(request for one in built.values() if not isinstance(one, WanRequestError) for request in one[:1])
    for index, row in enumerate(rows, 1):
        if index in left_out:
            continue
        name, requests = _name(row, index), built[index]
        try:
            if isinstance(requests, WanRequestError):
                raise requests
            # Rows that an attempt has kept were checked when it began.
            to_check = requests[:1] if is_checking or skipped is None else []
            names = _conn_ids(row)
            own_vendors = vendors(names) if vendors else [vendor]
            found = [warning for request in to_check for warning in media.checked(request, names) if is_checking]
            requests = [media.identified(request) for request in requests]
            own = unknown.keys() - in_all & row.keys()
            if own and is_skipping:
                raise WanRequestError(violations=[_unknown(field, [name], len(rows)) for field in own])
        except WanRequestError as error:
            if is_skipping:
                left_out[index] = "; ".join(map(str, error.violations))
            else:
                wrong += [replace(item, field=f"row {name}: {item.field}") for item in error.violations]
            continue
        warnings += [f"row {name}: {warning}" for warning in found]
        for take, request in enumerate(requests, 1):
            # One that a row names alone tells it from a row like it; among several, any may be chosen.
            alone = names if len(names) == 1 else ()
            fingerprint = request.fingerprint(*account, *alone)
            seen[fingerprint] += 1
            items.append(
                Item(
                    key=f"{fingerprint[:24]}.{seen[fingerprint]}",
                    id=name if len(requests) == 1 else f"{name}-{take}",
                    index=index,
                    request=request,
                    model=own_vendors[0].model_of(request),
                    store_to=_place(row),
                    fingerprint=fingerprint,
                    take=take,
                    takes=len(requests),
                    wan_conn_ids=names,
                )
            )
    wrong += _same_ids(items)
    if not items and not wrong:
        why = f"none that is valid; the first: {next(iter(left_out.values()))}" if left_out else "none"
        wrong.append(Violation("requests", "holds at least one row", why, hard=True))
    refuse_all(wrong)
    return Built(items, warnings, left_out)


class RowMedia(Protocol):
    """What is to be known of the media of rows."""

    def read(self, requests: Iterable[VideoRequest]) -> None:
        """Look at the media of all rows, several at a time."""

    def checked(self, request: VideoRequest, names: tuple[str, ...]) -> Iterable[str]:
        """Check a request; return warnings.

        :param names: the connections that its row names for itself.
        :raises WanRequestError: listing every violation.
        """

    def identified(self, request: VideoRequest) -> VideoRequest:
        """Return the request, known by the contents of its media."""


class _NotLookedAt:
    """Files are taken for what their fields say."""

    def __init__(self, vendor: Vendor) -> None:
        self._vendor = vendor

    def read(self, requests: Iterable[VideoRequest]) -> None:
        pass

    def checked(self, request: VideoRequest, names: tuple[str, ...]) -> Iterable[str]:
        return self._vendor.check(with_stand_ins(request.for_vendor(self._vendor.name))).warnings

    def identified(self, request: VideoRequest) -> VideoRequest:
        return request


def _built(row: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[VideoRequest] | WanRequestError:
    try:
        return _requests(row, defaults)
    except WanRequestError as error:
        return error


def _conn_ids(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the connections that a row names: one, a list, or text with commas."""
    given = row.get("wan_conn_id")
    if given is None or (isinstance(given, str) and not given.strip()):
        return ()
    if isinstance(given, str):
        given = [part.strip(" '\"") for part in given.strip("[] ").replace(";", ",").split(",")]
    names = given if isinstance(given, list | tuple) else ()
    is_right = names and all(isinstance(name, str) and name.strip() for name in names)
    if not is_right or len(set(names)) < len(names):
        rule = "is the id of a connection, or a list of them, each named once"
        raise WanRequestError(violations=[Violation("wan_conn_id", rule, shorten(row["wan_conn_id"]), hard=True)])
    return tuple(name.strip() for name in names)


def _unknown_fields(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return in which rows each field stands that no mode has."""
    found: dict[str, list[str]] = {}
    for index, row in enumerate(rows, 1):
        for name in row:
            if name not in ALL_FIELDS and name not in ITEM_FIELDS:
                found.setdefault(str(name), []).append(_name(row, index))
    return found


def _unknown(name: str, rows: list[str], total: int) -> Violation:
    near = difflib.get_close_matches(name.strip().lower(), [*ALL_FIELDS, *ITEM_FIELDS], 1)
    fix = f"did you mean {near[0]!r}?" if near else ""
    if len(rows) == 1:
        return Violation(f"row {rows[0]}: {name}", "is a field that no mode has", name, fix, hard=True)
    where = "in all rows" if len(rows) == total else f"in {len(rows)} rows: {', '.join(rows[:5])}, …"
    return Violation(name, "is a field that no mode has", where, fix, hard=True)


def _requests(row: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[VideoRequest]:
    """Return a row's requests: one for each take, with its seed."""
    takes, seeds = _number_in(row, "takes"), row.get("seeds")
    if isinstance(seeds, str):
        seeds = [part for part in seeds.strip("[] ").replace(";", ",").split(",") if part.strip()]
    if seeds is not None and (not isinstance(seeds, Sequence) or not seeds or takes not in (None, len(seeds))):
        raise WanRequestError(
            violations=[
                Violation("seeds", "is a list of as many numbers as there are takes", shorten(seeds), hard=True)
            ]
        )
    if seeds is None and row.get("seed") is not None and takes:
        first = _number_in(row, "seed")
        seeds = [(first or 0) + number for number in range(takes)]
    if seeds is not None:
        return [_request({**row, "seed": seed}, defaults) for seed in seeds]
    # Without a seed of its own, each take gets one from the vendor.
    return [_request(row, defaults)] * (takes or 1)


def _number_in(row: Mapping[str, Any], name: str) -> int | None:
    value = row.get(name)
    if value is None or value == "":
        return None
    try:
        # A column of whole numbers with gaps comes out of a table as 3.0.
        number = int(value) if isinstance(value, float) and value.is_integer() else int(str(value).strip())
    except ValueError:
        number = -1
    if isinstance(value, bool) or number < 0 or (name == "takes" and not 1 <= number <= MOST_TAKES):
        rule = f"is a whole number from 1 to {MOST_TAKES}" if name == "takes" else "is a whole number"
        raise WanRequestError(violations=[Violation(name, rule, shorten(value), hard=True)])
    return number


def refuse_all(wrong: list[Violation]) -> None:
    """Refuse the batch when anything is wrong with it.

    :raises WanRequestError: showing the first ``MOST_REPORTED`` violations.
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
