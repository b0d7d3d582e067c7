"""The task log, as somebody on call reads it: few lines, whole sentences, nothing twice."""

from __future__ import annotations

import re

import pytest
from airflow.sdk import DAG

from airflow_provider_wan.sandbox import Sandbox
from tests.driving import KEY

ID = "[0-9a-f-]{36}"
MOMENT = r"[\dT:+-]{25}"
OURS = re.compile(r"\[(info|warning|error) *\] (.*?) *\[(?:airflow\.task\.operators\.)?airflow_provider_wan\.[\w.]+\]")
"""A line of this provider, as Airflow writes it to a console: its level and its text."""


@pytest.fixture
def log(
    sandbox: Sandbox, runnable: dict[str, DAG], capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> str:
    """What the task of a DAG of ``dags/endings.py`` writes in a run."""
    runnable[f"ending_{request.param}"].test()
    output = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert KEY not in output
    return output


def ending(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("log", [name], indirect=True)


def said(log: str) -> list[str]:
    return [f"{match[1]}: {match[2]}" for match in OURS.finditer(log)]


def expect(log: str, *patterns: str, reason: str | None = None) -> None:
    """Expect these lines of ours and no others, then an exception whose text is ``reason``."""
    lines = said(log)
    assert len(lines) == len(patterns), lines
    for line, pattern in zip(lines, patterns, strict=True):
        assert re.fullmatch(pattern, line), line
    assert "XCom not found" not in log
    assert "During handling" not in log
    assert ("Task failed with exception" in log) is (reason is not None)
    if reason is not None:
        assert re.search(reason, log)
        frames = set(re.findall(r'File ".*airflow_provider_wan/(.*)", line', log))
        assert frames <= {"operators/base.py", "worker/video.py", "worker/failing.py"}


COST = r"info: Estimated cost: 0\.50 USD .+"
SUBMITTED = rf"info: Submitted task {ID} \(DashScope, wan2\.7-t2v, request_id={ID}\)"
FREE = rf"info: The worker is free now; task {ID} is waited for until {MOMENT}"


@ending("fine")
def test_a_success_is_five_lines(log: str) -> None:
    video = rf"info: Task {ID} has its video; the link 'Generated video' leads to it"
    expect(log, COST, SUBMITTED, FREE, rf"info: Task {ID}: succeeded", video)


@ending("moderated")
def test_a_refused_picture(log: str) -> None:
    expect(
        log,
        COST,
        SUBMITTED,
        FREE,
        rf"info: Task {ID}: failed \(DataInspectionFailed: .+\)",
        reason=r"WanModerationError: DashScope could not make the video \(failed tasks are not billed\): .+ "
        rf"\[code=DataInspectionFailed, request_id={ID}, task_id={ID}\]",
    )


@ending("late")
def test_a_deadline(log: str) -> None:
    expect(
        log,
        COST,
        SUBMITTED,
        FREE,
        rf"info: Task {ID}: running",
        reason=rf"WanTaskTimeout: The deadline \({MOMENT}\) passed while the task was running\. Task {ID} runs on and "
        r"will be billed: .+ It stays recorded, so the next run of this task adopts it .+",
    )


@ending("refused")
def test_a_request_that_breaks_rules(log: str) -> None:
    why = r"WanRequestError: The request was not sent, 1 rule is broken:\n  - seed: .+ \(given: 'many'\)"
    expect(log, reason=why)


@ending("lost")
def test_a_lost_answer(log: str) -> None:
    warning = r"warning: It is not known whether Freepik took the submission.+"
    cost = "info: Estimated cost: no price of wan-2-7 at freepik is known"
    expect(log, cost, warning, reason=r"WanSubmissionUnknown: The answer to the submission of .+ was lost .+")
