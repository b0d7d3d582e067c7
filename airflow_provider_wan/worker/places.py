"""Where the video of one mapped task instance goes, so that its siblings' videos do not land on it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.sdk import Context

VARIES = re.compile(r"\b(map_index|ti|task_instance|task|params)\b")
"""Names in a template whose values differ between the instances of a mapped task, or may."""


def own_place(store_to: str | None, operator: Any, context: Context) -> str | None:
    """Return ``store_to`` with the map index in the file's name, where all instances would write to one file.

    :param store_to: rendered; a folder is returned as it is, for its files are named after the vendor's tasks.
    :param operator: with its DAG, which knows whether ``store_to`` was mapped over.
    """
    index = getattr(context["ti"], "map_index", -1)
    if store_to is None or store_to.endswith("/") or index is None or index < 0 or not _is_shared(operator):
        return store_to
    stem, dot, suffix = store_to.rpartition(".")
    named = f"{stem}_{index}{dot}{suffix}" if dot and "/" not in suffix else f"{store_to}_{index}"
    operator.log.info("store_to is the same for all mapped instances: the video of this one goes to %s", named)
    return named


def _is_shared(operator: Any) -> bool:
    """Whether the parameter was given once for all instances, as a text that says nothing of the instance."""
    written = getattr(operator, "store_to_written", None)
    dag = operator.get_dag() if operator.has_dag() else None
    mapped: Any = dag.task_dict.get(operator.task_id) if dag is not None else None
    if getattr(mapped, "is_mapped", False):
        # Absent here: it is mapped over.
        written = mapped.partial_kwargs.get("store_to")
    if not isinstance(written, str):
        return False
    expressions = re.findall(r"\{[{%].*?[%}]\}", written, re.DOTALL)
    return not any(VARIES.search(expression) for expression in expressions)
