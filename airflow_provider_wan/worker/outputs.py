"""Which keys of a result are XComs of their own, beside ``return_value``: each one is a call to the API server."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

OWN_KEYS = frozenset({"task_id", "video_url", "uri"})
PLACES = ("partial_kwargs", "expand_input", "op_kwargs_expand_input")
"""Where a mapped operator keeps what it was given."""
RETURN_KEY = "return_value"


def push_own(operator: Any, context: Any, result: Mapping[str, Any]) -> None:
    """Push the keys that DAGs read by themselves: ``OWN_KEYS``, and whatever this DAG's operators refer to.

    Nothing where Airflow pushes all (``multiple_outputs=True``), or none.
    """
    if not (operator.pushes_own_keys and getattr(operator, "do_xcom_push", True)):
        return
    wanted = OWN_KEYS | set(_referred_to(operator, result.keys() - OWN_KEYS))
    for key in sorted(wanted & result.keys()):
        context["ti"].xcom_push(key=key, value=result[key])


def _referred_to(operator: Any, keys: Collection[str]) -> Iterator[str]:
    """Yield those of ``keys`` that other tasks of the DAG name: ``op.output["seed"]``, or a template that pulls it."""
    dag = operator.get_dag()
    for other in dag.tasks if dag is not None else ():
        if other.task_id == operator.task_id:
            continue
        for name in (*other.template_fields, *PLACES):
            yield from _named_in(getattr(other, name, None), operator.task_id, keys)


def _named_in(value: Any, task_id: str, keys: Collection[str]) -> Iterator[str]:
    if isinstance(value, str):
        if "xcom_pull" in value and task_id in value:
            # One key too many does no harm.
            yield from (key for key in keys if f"'{key}'" in value or f'"{key}"' in value)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _named_in(item, task_id, keys)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from _named_in(item, task_id, keys)
    elif hasattr(value, "iter_references"):
        yield from (key for of, key in value.iter_references() if of.task_id == task_id and key != RETURN_KEY)
