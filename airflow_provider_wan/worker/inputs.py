"""The media of a task instance: where relative paths lead, and where what is known of them is kept."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow_provider_wan.inputs.inputs import Inputs
from airflow_provider_wan.inputs.kept import KeptInputs, Store
from airflow_provider_wan.inputs.reach import Media
from airflow_provider_wan.worker.settings import TaskOperator


def inputs_of(
    operator: TaskOperator,
    context: Any,
    media: Media,
    store: Store | None,
    table: str | None = None,
    digests: Mapping[str, str] | None = None,
) -> Inputs:
    """Return the media of a task instance.

    :param digests: contents that are known from before, where a batch keeps them itself.
    :param table: the file that a batch's rows come from; paths in it are relative to its own folder first.
    """
    ti = context["ti"]
    run = "/".join(str(getattr(ti, name, "")) for name in ("dag_id", "run_id"))
    bases = [table.rstrip("/").rpartition("/")[0]] if table else []
    return Inputs(media, [*bases, *_folders(operator)], KeptInputs(store, run, digests), log=operator.log)


def beside_dag(operator: Any, path: Any) -> Any:
    """Return the path of a file beside the DAG, where a relative path names one; else what was given."""
    if not isinstance(path, str) or "://" in path or path.strip().startswith(("[", "/", "~")):
        return path
    found = (Path(folder, path.strip()) for folder in _folders(operator))
    return next((str(file) for file in found if file.is_file()), path)


def _folders(operator: Any) -> list[str]:
    """Return the folders in which the DAG's own files are looked for, as its templates are."""
    if not operator.has_dag():
        return []
    dag = operator.dag
    searched = dag.template_searchpath or []
    return [dag.folder, *([searched] if isinstance(searched, str) else searched)]
