"""What the commands do: show prices, and price a file of requests without sending it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, NoReturn

from pydantic import SecretStr

from airflow_provider_wan.batch.items import build_items
from airflow_provider_wan.batch.rows import read_rows
from airflow_provider_wan.cli.output import say, show, show_footnotes
from airflow_provider_wan.client.account import Account
from airflow_provider_wan.client.costs import (
    CostEstimate,
    Part,
    Price,
    WanCostError,
    check_max_cost,
    parse_max_cost,
    sum_line,
)
from airflow_provider_wan.client.costs.limit import sums_of
from airflow_provider_wan.client.errors import Violation, WanError, WanRequestError
from airflow_provider_wan.client.urls import shorten
from airflow_provider_wan.client.vendors import DEFAULT_VENDOR, VENDOR_NAMES, vendor_of
from airflow_provider_wan.hooks.costs import AccountCosts

WRONG, TOO_EXPENSIVE = 1, 2
"""Exit codes: the input is wrong; it would cost more than allowed, or it is not known what it costs."""

SHOWN = 100
"""Rows of a table for people; other formats hold all."""


def prices(args: argparse.Namespace) -> None:
    """Show the price table: an account's own rows first, then the shipped ones."""
    try:
        account = _account(args) if args.conn_id or args.vendor or args.prices or args.region else None
        costs = AccountCosts(account or _stand_in(DEFAULT_VENDOR, None, None))
        own, rows = costs.table.own, costs.table.rows
    except WanError as error:
        _stop(WRONG, error)
    found = [
        row
        for row in rows
        if (not args.model or row.is_of_model(args.model) or fnmatchcase(row.model, args.model))
        and (not (args.conn_id or args.vendor) or (account and fnmatchcase(account.vendor, row.vendor)))
        and (not (args.conn_id or args.region) or fnmatchcase(costs.region or "", row.region))
    ]
    if args.output in ("json", "yaml"):
        show([row.to_dict() | {"is_own": row in own} for row in found], args.output)
        return
    sources = list(dict.fromkeys(row.source or "not given" for row in found))
    show([_price_line(row, sources, is_own=row in own) for row in found], args.output)
    show_footnotes("Sources", sources)


def _price_line(row: Price, sources: list[str], *, is_own: bool) -> dict[str, Any]:
    sound = {None: "", True: "with sound", False: "silent"}[row.sound]
    return {
        "vendor": row.vendor,
        "model": " ".join(filter(None, (row.model, f"({sound})" if sound else ""))),
        "region": row.region,
        "tier": row.resolution,
        "price": f"{row.amount} {row.currency}",
        "per": str(row.unit).replace("_", " "),
        "date": row.date or "",
        "source": f"{'own ' if is_own else ''}[{sources.index(row.source or 'not given') + 1}]",
    }


def estimate(args: argparse.Namespace) -> None:
    """Check a file of requests and say what its videos will cost; exit with 2 above ``--max-cost``."""
    try:
        limit = parse_max_cost(args.max_cost, "--max-cost")
        account = _account(args)
        identity = (account.vendor, account.base_url, account.workspace_id)
        built = build_items(_rows(args.file), _defaults(args.defaults), vendor_of(account.vendor), identity)
        items, warnings = built.items, built.warnings
        costs = AccountCosts(account)
        parts = [Part(f"row {item.id}", costs.estimate(item.request)) for item in items]
    except WanError as error:
        _stop(WRONG, error)
    refusal: WanCostError | None = None
    try:
        check_max_cost(parts, limit, args.on_unknown_price)
    except WanCostError as error:
        refusal = error
    lines = [
        {"id": item.id, "mode": str(item.request.mode)} | _estimate_line(item, part)
        for item, part in zip(items, parts, strict=True)
    ]
    if args.output in ("json", "yaml"):
        show(_report(lines, parts, str(limit) if limit else None, refusal), args.output)
    else:
        shown = lines if args.output == "plain" else lines[:SHOWN]
        show([_readable(line) for line in shown], args.output)
        more = [f"… and {len(lines) - len(shown)} more rows (--output json has all)"] if len(lines) > len(shown) else []
        for line in (*more, *warnings, f"{len(lines)} videos: {sum_line(parts)}"):
            say(line)
    if refusal is not None:
        _stop(TOO_EXPENSIVE, refusal)


def _estimate_line(item: Any, part: Part) -> dict[str, Any]:
    found = part.estimate
    if isinstance(found, CostEstimate):
        return found.to_dict()
    return {"model": item.model, "resolution": item.request.resolution, "amount": None, "reason": found.reason}


def _readable(line: Mapping[str, Any]) -> dict[str, Any]:
    is_known = line["amount"] is not None
    note = line.get("note") or line.get("reason") or ""
    return {
        "id": line["id"],
        "mode": line["mode"],
        "model": line["model"],
        "tier": line["resolution"],
        "seconds": f"{line['seconds']:g}" if is_known else "",
        "cost": f"{line['amount']:.2f} {line['currency']}" if is_known else "unknown",
        "note": note,
    }


def _report(
    lines: Sequence[Mapping[str, Any]], parts: Sequence[Part], limit: str | None, refusal: WanCostError | None
) -> dict[str, Any]:
    return {
        "items": list(lines),
        "sums": [{"amount": float(amount), "currency": currency} for currency, amount in sums_of(parts).items()],
        "videos": len(parts),
        "without_price": sum(not isinstance(part.estimate, CostEstimate) for part in parts),
        "max_cost": limit,
        "is_refused": refusal is not None,
    }


# -- what the options name ----------------------------------------------------------------------------------


def _account(args: argparse.Namespace) -> Account:
    if not args.conn_id:
        return _stand_in(args.vendor or DEFAULT_VENDOR, args.region, args.prices)
    given = [f"--{name}" for name in ("vendor", "region", "prices") if getattr(args, name)]
    if given:
        rule = "says all of that itself"
        raise WanRequestError(violations=[Violation("--conn", rule, ", ".join(given), "give one of them", True)])
    from airflow_provider_wan.hooks.wan import WanHook

    return WanHook(args.conn_id).account


def _stand_in(vendor: str, region: str | None, prices: str | None) -> Account:
    """Return an account to price by; it has no key and nothing is sent."""
    if vendor not in VENDOR_NAMES:
        rule = f"is one of {', '.join(VENDOR_NAMES)}"
        raise WanRequestError(violations=[Violation("--vendor", rule, shorten(vendor), hard=True)])
    return Account(vendor=vendor, base_url="", api_key=SecretStr(""), region=region, prices=prices or ())


def _rows(file: str) -> Any:
    try:
        return read_rows(file)
    except OSError as error:
        raise WanRequestError(f"{file} cannot be read: {error}") from error


def _defaults(text: str | None) -> Mapping[str, Any]:
    try:
        found = json.loads(text) if text else {}
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise WanRequestError(violations=[Violation("--defaults", "is a JSON object", shorten(text), hard=True)])
    return found


def _stop(code: int, error: WanError) -> NoReturn:
    sys.stderr.write(f"{error}\n")
    raise SystemExit(code)
