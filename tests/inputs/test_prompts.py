"""Prompts that are files beside the DAG; no other parameter is read so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk import DAG
from jinja2 import TemplateNotFound

from airflow_provider_wan.operators.wan import WanReferenceToVideoOperator, WanTextToVideoOperator

CONTEXT: Any = {"ti": None, "params": {"colour": "red"}}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "boat.txt").write_text("A {{ params.colour }} boat")
    (tmp_path / "avoid.md").write_text("Blur, see notes.md")
    (tmp_path / "scene.prompt").write_text("A harbour")
    monkeypatch.setattr("airflow.sdk.DAG.folder", str(tmp_path))
    return tmp_path


def rendered(kind: Any = WanTextToVideoOperator, *, resolves: bool = True, **given: Any) -> Any:
    with DAG("films", schedule=None):
        operator = kind(task_id="make", **given)
    if resolves:
        # The DAG processor, and a worker's own parse, do so.
        operator.resolve_template_files()
    operator.render_template_fields(CONTEXT)
    return operator


@pytest.mark.parametrize("resolves", [True, False])
def test_a_prompt_is_read_and_rendered(folder: Path, resolves: bool) -> None:
    operator = rendered(prompt="boat.txt", negative_prompt="avoid.md", resolves=resolves)
    assert (operator.prompt, operator.negative_prompt) == ("A red boat", "Blur, see notes.md")
    assert rendered(prompt="scene.prompt", resolves=resolves).prompt == "A harbour"


def test_no_other_parameter_is_a_file_of_templates(folder: Path) -> None:
    operator = rendered(
        WanReferenceToVideoOperator,
        prompt="boat.txt",
        model="wan3.0-video",
        document="avoid.md",
        reference_images=["https://media.example.com/{{ params.colour }}.txt"],
        store_to="file:///clips/{{ params.colour }}.md",
        extra_body={"notes": "avoid.md"},
    )
    assert operator.prompt == "A red boat"
    assert operator.document == "avoid.md"
    assert operator.reference_images == ["https://media.example.com/red.txt"]
    assert operator.store_to == "file:///clips/red.md"
    assert operator.extra_body == {"notes": "avoid.md"}


def test_a_file_that_is_missing_fails_the_task_and_not_the_parse(folder: Path) -> None:
    with DAG("films", schedule=None):
        operator = WanTextToVideoOperator(task_id="make", prompt="no.txt")
    operator.resolve_template_files()
    with pytest.raises((TemplateNotFound, AirflowFailException)):
        operator.render_template_fields(CONTEXT)


def test_a_prompt_that_only_mentions_a_file_is_a_prompt(folder: Path) -> None:
    assert rendered(prompt="boat.txt floats by").prompt == "boat.txt floats by"
