"""What a video was made from and where it lies: for Airflow's hook lineage, and for OpenLineage where it is installed.

Both are told addresses only, without connection ids, queries and signatures; never prompts, never inline media.
"""

from __future__ import annotations

import logging
import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from airflow_provider_wan.client.requests import VideoRequest, media_urls

log = logging.getLogger(__name__)

MOST = 100
"""Videos of a batch that are told: as many as Airflow's collector keeps."""


@dataclass(frozen=True)
class DatasetPlace:
    """A file, as lineage tools name it.

    :param namespace: where it is: ``s3://bucket``, ``https://host``, ``file``.
    :param name: its path there.
    """

    namespace: str
    name: str
    bytes: int | None = None

    @property
    def uri(self) -> str:
        """The address as a URI."""
        return f"file://{self.name}" if self.namespace == "file" else f"{self.namespace}/{self.name.lstrip('/')}"


@dataclass(frozen=True)
class Lineage:
    """Of one run of an operator.

    :param task: vendor and id of the vendor's task, where it is one.
    """

    inputs: tuple[DatasetPlace, ...] = ()
    outputs: tuple[DatasetPlace, ...] = ()
    task: tuple[str, str] | None = None


def place_of(address: object, size: object = None) -> DatasetPlace | None:
    """Return the place of an address; ``None`` for what is none: inline media, and files that are looked for."""
    parts = urlsplit(str(address))
    count = size if isinstance(size, int) else None
    host, path = parts.netloc.rpartition("@")[2], unquote(parts.path)
    if parts.scheme in ("file", "local", "") and posixpath.isabs(path):
        return DatasetPlace("file", path, count)
    if parts.scheme in ("", "data", "file", "local") or not host:
        return None
    return DatasetPlace(f"{parts.scheme}://{host}", path.lstrip("/"), count)


def note_video(operator: Any, request: VideoRequest | None, result: Mapping[str, Any]) -> None:
    """Note what a single video was made from and where it was stored."""
    inputs = [url for field, url in media_urls(request) if field != "link"] if request else []
    _note(operator, inputs, [result], (str(result.get("vendor")), str(result.get("task_id"))))


def note_batch(operator: Any, requests: Any, results: Iterable[Mapping[str, Any]], manifest: str | None) -> None:
    """Note the table that a batch was read from, its manifest, and its stored videos."""
    files = [{"uri": manifest}] if manifest else []
    _note(operator, [requests] if isinstance(requests, str) else [], [*files, *results], None)


def _note(
    operator: Any, inputs: Iterable[object], results: Iterable[Mapping[str, Any]], task: tuple[str, str] | None
) -> None:
    try:
        sources = [place for address in inputs if (place := place_of(address))]
        stored = [place for one in results if (place := place_of(one.get("uri") or "", one.get("bytes")))]
        operator.lineage = Lineage(tuple(dict.fromkeys(sources)), tuple(dict.fromkeys(stored))[:MOST], task)
        _collect(operator, operator.lineage)
    except Exception as error:  # noqa: BLE001 - lineage is not worth a video
        log.debug("Lineage was lost: %s: %s", type(error).__name__, error)


def _collect(operator: Any, lineage: Lineage) -> None:
    if not (lineage.inputs or lineage.outputs):
        # Where somebody reads lineage, the collector loads what every installed provider has of assets.
        return
    from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector

    collector = get_hook_lineage_collector()
    for place in lineage.inputs:
        collector.add_input_asset(context=operator, uri=place.uri)
    for place in lineage.outputs:
        collector.add_output_asset(context=operator, uri=place.uri)


def openlineage_of(operator: Any) -> Any:
    """Return OpenLineage's facets of an operator that has run; called by its provider only."""
    from airflow.providers.common.compat.openlineage.facet import (
        Dataset,
        ExternalQueryRunFacet,
        OutputDataset,
        OutputStatisticsOutputDatasetFacet,
    )
    from airflow.providers.openlineage.extractors import OperatorLineage

    lineage: Lineage = getattr(operator, "lineage", None) or Lineage()
    outputs = []
    for place in lineage.outputs:
        size: dict[str, Any] = {}
        if place.bytes:
            size["outputStatistics"] = OutputStatisticsOutputDatasetFacet(size=place.bytes, fileCount=1)
        outputs.append(OutputDataset(place.namespace, place.name, outputFacets=size))
    run = {}
    if lineage.task:
        vendor, task_id = lineage.task
        run["externalQuery"] = ExternalQueryRunFacet(externalQueryId=task_id, source=vendor)
    inputs = [Dataset(place.namespace, place.name) for place in lineage.inputs]
    return OperatorLineage(inputs=inputs, outputs=outputs, run_facets=run)
