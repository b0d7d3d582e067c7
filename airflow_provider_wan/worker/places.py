"""Where the videos of one mapped task instance go, so that its siblings' do not land on them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.sdk import Context

VARIES = re.compile(r"\b(map_index|ti|task_instance|task|params)\b")
"""Names in a template whose values differ between the instances of a mapped task, or may."""


def own_place(place: str | None, operator: Any, context: Context, parameter: str = "store_to") -> str | None:
    """Return a file's place with the map index in its name, where all instances would write to one file.

    :param place: rendered; a folder is returned as it is, for its files are named after the vendor's tasks.
    :param operator: with its DAG, which knows whether the parameter was mapped over; keeps what was written for it
        as ``<parameter>_written``.
    """
    index = _index_where_shared(operator, context, parameter)
    if place is None or place.endswith("/") or index is None:
        return place
    stem, dot, suffix = place.rpartition(".")
    named = f"{stem}_{index}{dot}{suffix}" if dot and "/" not in suffix else f"{place}_{index}"
    operator.log.info("%s is the same for all mapped instances: this one's is %s", parameter, named)
    return named


def own_places(pattern: str | None, operator: Any, context: Context) -> str | None:
    """Return the folder or pattern of a batch's videos with the map index in it, where all instances share it.

    Their rows have the same numbers, and often the same ids.
    """
    index = _index_where_shared(operator, context, "store_to")
    if pattern is None or index is None or "{task_id}" in pattern:
        return pattern
    if "{" in pattern.rpartition("/")[2]:
        return own_place(pattern, operator, context)
    named = f"{pattern.rstrip('/')}/{index}/"
    operator.log.info("store_to is the same for all mapped instances: the videos of this one go to %s", named)
    return named


def _index_where_shared(operator: Any, context: Context, parameter: str) -> int | None:
    index: int | None = getattr(context["ti"], "map_index", -1)
    return index if index is not None and index >= 0 and _is_shared(operator, parameter) else None


def _is_shared(operator: Any, parameter: str) -> bool:
    """Whether the parameter was given once for all instances, as a text that says nothing of the instance."""
    written = getattr(operator, f"{parameter}_written", None)
    dag = operator.get_dag() if operator.has_dag() else None
    mapped: Any = dag.task_dict.get(operator.task_id) if dag is not None else None
    if getattr(mapped, "is_mapped", False):
        # Absent here: it is mapped over.
        written = mapped.partial_kwargs.get(parameter)
    if not isinstance(written, str):
        return False
    expressions = re.findall(r"\{[{%].*?[%}]\}", written, re.DOTALL)
    return not any(VARIES.search(expression) for expression in expressions)
