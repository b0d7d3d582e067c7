"""What each parameter of the operators accepts: one rule a parameter, for all of them.

A rule is used twice: while the DAG is parsed, on values that are written out, and in the run, on rendered ones.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from os import PathLike
from typing import Any
from urllib.parse import urlsplit

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_wan.client.errors import Violation, WanRequestError
from airflow_provider_wan.client.requests import VideoRequest, build_request, with_stand_ins
from airflow_provider_wan.client.rules.request import violations_of
from airflow_provider_wan.client.tasks import Mode, TaskHandle
from airflow_provider_wan.client.urls import shorten
from airflow_provider_wan.client.vendors import VENDOR_NAMES, vendor_of

WAN_2_7 = "wan2.7"
LEAST_INTERVAL = 0.1
LONGEST_SECONDS = 10 * 365 * 86400.0
"""Longer than any wait, and short enough to be added to a date."""

TRUE_WORDS = frozenset({"true", "1", "yes", "on"})
FALSE_WORDS = frozenset({"", "false", "0", "no", "off", "none"})
NOTHING = frozenset({"none", "null", "undefined"})
"""What a template makes of a value that is not there."""


class WanLiteralError(WanRequestError, AirflowFailException):
    """Values written in the DAG break rules.

    A mapped operator is made only when its task runs; that the error is Airflow's own too spares it the retries.
    """


class _Broken(ValueError):
    """A value breaks its parameter's rule."""

    def __init__(self, rule: str, fix: str = "") -> None:
        super().__init__(rule)
        self.rule = rule
        self.fix = fix


Rule = Callable[[Any], Any]
"""Returns what a value means; raises ``_Broken``."""


def _one_of(*words: str) -> Rule:
    def read(value: Any) -> Any:
        if value not in words:
            raise _Broken(f"is one of {', '.join(words)}")
        return value

    return read


def _truth(value: Any) -> bool:
    word = str(value).strip().lower()
    if word not in TRUE_WORDS | FALSE_WORDS:
        raise _Broken("is true or false")
    return word in TRUE_WORDS


def _whole(least: int) -> Rule:
    def read(value: Any) -> int:
        number = _number(value)
        if number is None or number != int(number) or number < least:
            raise _Broken(f"is a whole number, at least {least}")
        return int(number)

    return read


def _interval(value: Any) -> float:
    return max(LEAST_INTERVAL, _span(value).total_seconds())


def _span(value: Any) -> timedelta:
    seconds = value.total_seconds() if isinstance(value, timedelta) else _number(value)
    if seconds is None or not 0 < seconds <= LONGEST_SECONDS:
        raise _Broken("is a time longer than nothing", "give seconds")
    return value if isinstance(value, timedelta) else timedelta(seconds=seconds)


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return None if isinstance(value, bool) or number != number or abs(number) == float("inf") else number


def _fraction(value: Any) -> Any:
    if value in ("any", "all"):
        return value
    number = _number(value)
    if number is None or not 0 <= number <= 1:
        raise _Broken("is 'any', 'all' or a fraction from 0 to 1")
    return number


def _name(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or value.strip().lower() in NOTHING:
        raise _Broken("is the id of a connection")
    return value.strip()


def _names(value: Any) -> str | tuple[str, ...]:
    """Read one connection id, or several to choose from; a template renders a list as its text."""
    found = value
    if isinstance(value, str) and value.strip().startswith("["):
        try:
            found = json.loads(value)
        except ValueError:
            try:
                found = ast.literal_eval(value.strip())
            except (SyntaxError, ValueError):
                raise _Broken("is the id of a connection, or a list of them") from None
    if not isinstance(found, list | tuple):
        return _name(found)
    if not found:
        raise _Broken("is the id of a connection, or a list with at least one")
    names = tuple(_name(name) for name in found)
    if len(set(names)) < len(names):
        raise _Broken("names each connection once", "remove the repeated one")
    return names


def _prefer(value: Any) -> Any:
    if value is None or (isinstance(value, str) and value.strip().lower() in ("", "none")):
        return None
    return _one_of("cost")(value)


def _uri(value: Any) -> str | None:
    """Read a place in storage; a template that renders to an empty text means "not given"."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    text = str(value).strip() if isinstance(value, str | PathLike) else ""
    # A missing slash or colon makes a local file of what was meant to be a bucket.
    if not text or text.lower() in NOTHING or "\x00" in text or (":/" in text and "://" not in text):
        raise _Broken("is the URI of a place in storage", "for example s3://bucket/folder/clip.mp4")
    if "://" in text:
        parts = urlsplit(text)
        if not parts.scheme or not (parts.netloc or parts.scheme in ("file", "local", "memory")):
            raise _Broken("is a URI with a scheme and a bucket", "for example s3://bucket/folder/clip.mp4")
    return text


def _folder(value: Any) -> str | None:
    """Read where many videos go: a folder, or a pattern; one file would become a folder of that name."""
    found = _uri(value)
    if found and found.lower().endswith((".mp4", ".mov")) and "{" not in found:
        raise _Broken("is a folder for all videos, or a pattern", "for example s3://bucket/folder/{id}.mp4")
    return found


def _required_uri(value: Any) -> str:
    found = _uri(value)
    if found is None:
        raise _Broken("is the URI of a place in storage", "for example s3://bucket/folder/clip.mp4")
    return found


def _handle(value: Any) -> TaskHandle:
    """Read a handle as a dict or as JSON; a whole result works too, it holds the handle's keys."""
    found = value
    if isinstance(value, str):
        try:
            # A template renders a dict as Python shows it, unless it says "| tojson".
            found = json.loads(value)
        except ValueError:
            found = None
    if isinstance(found, Mapping) and found.get("task_id") and found.get("vendor"):
        try:
            return TaskHandle.model_validate(dict(found))
        except ValueError:
            pass
    raise _Broken(
        "is a task handle: a dict (or its JSON) with vendor, task_id, mode, model, submitted_at",
        "pass op.output, or a template that ends with | tojson",
    )


def _max_cost(value: Any) -> Any:
    if value is None:
        return None
    # Not at the top: most DAGs are parsed without it.
    from airflow_provider_wan.client.costs.limit import parse_max_cost

    try:
        return parse_max_cost(value)
    except WanRequestError as error:
        (wrong,) = error.violations
    raise _Broken(wrong.rule, wrong.fix)


RULES: dict[str, Rule] = {
    "cancel_on_kill": _truth,
    "cancel_on_timeout": _truth,
    "deferrable": _truth,
    "durable": _truth,
    "fail_if": _fraction,
    "handle": _handle,
    "item_retries": _whole(0),
    "ledger_path": _uri,
    "manifest_path": _uri,
    "max_cost": _max_cost,
    "max_in_flight": _whole(1),
    "media": _one_of("auto", "presign", "upload", "inline"),
    "mode": _one_of(*Mode),
    "on_changed_request": _one_of("resubmit", "fail"),
    "on_invalid_row": _one_of("fail", "skip"),
    "on_item_failure": _one_of("continue", "fail"),
    "on_unknown_price": _one_of("fail", "allow"),
    "on_unknown_submission": _one_of("fail", "resubmit"),
    "poke_interval": _interval,
    "poll_interval": _interval,
    "prefer": _prefer,
    "regenerate": _truth,
    "result": _handle,
    "route": _one_of("failover", "spread"),
    "store_to": _uri,
    "strict": _truth,
    "timeout": _span,
    "wait_for_completion": _truth,
    "wan_conn_id": _names,
}
"""The rule of each parameter that is not the request's own."""

BATCH_RULES: dict[str, Rule] = RULES | {"store_to": _folder}
"""The same for an operator that makes many videos."""

TRANSFER_RULES: dict[str, Rule] = RULES | {"store_to": _required_uri, "wan_conn_id": _name}
"""The same for an operator that does nothing but store."""

SENSOR_RULES: dict[str, Rule] = RULES | {"wan_conn_id": _name}
"""The same for a sensor, which waits for a task that one account has made."""


def is_literal(value: Any) -> bool:
    """Whether a value is written out in the DAG: no Jinja in it and no result of another task."""
    if isinstance(value, str):
        return "{{" not in value and "{%" not in value
    if isinstance(value, Mapping):
        return all(is_literal(item) for item in value.values())
    if isinstance(value, list | tuple):
        return all(is_literal(item) for item in value)
    return value is None or isinstance(value, bool | int | float | timedelta)


def read_values(given: Mapping[str, Any], rules: Mapping[str, Rule] = RULES) -> dict[str, Any]:
    """Return what the rendered values of some parameters mean.

    :raises WanRequestError: naming every parameter whose value breaks its rule; nothing was sent.
    """
    found: dict[str, Any] = {}
    wrong: list[Violation] = []
    for name, value in given.items():
        try:
            found[name] = rules[name](value)
        except _Broken as broken:
            wrong.append(Violation(name, broken.rule, shorten(value), broken.fix, hard=True))
    if wrong:
        raise WanRequestError(violations=wrong)
    return found


def check_literals(
    given: Mapping[str, Any],
    *,
    task_id: str,
    request: tuple[Mode, dict[str, Any]] | None = None,
    rules: Mapping[str, Rule] = RULES,
) -> None:
    """Refuse literal values that break a rule.

    :param given: parameters of the operator that have a row in ``RULES``.
    :param request: mode and fields of the request, which is held against the rules of its model's family; the vendor
        is not known yet.
    :raises WanLiteralError: listing all violations.
    """
    is_strict = str(given.get("strict", True)).strip().lower() not in FALSE_WORDS
    found = list(_of_request(*request, is_strict)) if request else []
    try:
        read_values({name: value for name, value in given.items() if is_literal(value)}, rules)
    except WanRequestError as error:
        found += error.violations
    if found:
        count = "a rule" if len(found) == 1 else f"{len(found)} rules"
        heading = f"Task {task_id!r} breaks {count} as it is written in the DAG:"
        raise WanLiteralError("\n  - ".join([heading, *map(str, found)]), violations=found)


def _of_request(mode: Mode, fields: dict[str, Any], is_strict: bool) -> Iterator[Violation]:
    literal = {name: value for name, value in fields.items() if is_literal(value)}
    open_fields = fields.keys() - literal.keys()
    try:
        request = build_request(mode, literal | {"strict": is_strict})
    except WanRequestError as error:
        yield from error.violations
        # Go on with the others, so that everything is said at once.
        open_fields |= {violation.field.split(".")[0] for violation in error.violations}
        fitting = {name: value for name, value in literal.items() if name not in open_fields}
        request = build_request(mode, fitting | {"strict": is_strict})
    if "model" in open_fields:
        return
    # Files are looked at in the run: a DAG's parse touches no storage.
    request = with_stand_ins(request)
    if isinstance(request.model, dict):
        yield from _at_vendors(request, request.model, is_strict, open_fields)
        return
    for violation in violations_of(request, request.model or WAN_2_7):
        if (violation.hard or is_strict) and not _depends(violation, open_fields):
            yield violation


def _at_vendors(
    request: VideoRequest, models: Mapping[str, str], is_strict: bool, open_fields: set[str]
) -> Iterator[Violation]:
    """Yield what each vendor for which a model is named cannot express of the request."""
    for name, model in models.items():
        if name not in VENDOR_NAMES:
            known = ", ".join(VENDOR_NAMES)
            yield Violation("model", f"is named for vendors by their names: {known}", shorten(name), hard=True)
            continue
        own = request.for_vendor(name)
        found = list(violations_of(own, model))
        refused = {item.field for item in found if item.hard}
        found += [item for item in vendor_of(name).limits(own, model) if item.field not in refused]
        for violation in dict.fromkeys(found):
            if (violation.hard or is_strict) and not _depends(violation, open_fields):
                yield replace(violation, rule=f"{violation.rule} (with {model} at {name})")


def _depends(violation: Violation, open_fields: set[str]) -> bool:
    """Whether a value that is not known yet may mend the violation."""
    looked_at = {name.split("[")[0] for name in violation.field.split(", ")} | set(violation.depends_on)
    return not open_fields.isdisjoint(looked_at)


def drop_unknown_policy(arguments: dict[str, Any]) -> None:
    """Take ``retry_policy`` out of an operator's arguments where Airflow does not know it (before 3.3), and say so."""
    if "retry_policy" in arguments:
        from airflow_provider_wan.policies.retry import drop_unknown

        drop_unknown(arguments)
