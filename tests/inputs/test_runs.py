"""Operators with local and stored media, against the sandbox: what the vendor gets, what is paid, what is uploaded."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk import ObjectStoragePath

from airflow_provider_wan.decorators.wan_video import _WanVideoDecoratedOperator
from airflow_provider_wan.operators.base import WanVideoOperator
from airflow_provider_wan.operators.wan import (
    WanImageToVideoOperator,
    WanReferenceToVideoOperator,
    WanTextToVideoOperator,
    WanVideoEditOperator,
)
from airflow_provider_wan.sandbox import Sandbox
from tests.airflow_fixtures import connection_json
from tests.driving import KEY, VENDORS, Driven, Instance, Store

QUICK: dict[str, Any] = {"task_id": "make", "poll_interval": 0.1, "timeout": 30, "resolution": "720P"}
Make = Callable[..., Path]


def driven(kind: type[WanVideoOperator] = WanImageToVideoOperator, **given: Any) -> Driven:
    return Driven(lambda: kind(**{**QUICK, **given}))


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def uploaded(sandbox: Sandbox) -> list[str]:
    return [item["sha256"] for item in sandbox.uploads()]


def billed(sandbox: Sandbox) -> int:
    return len(sandbox.ledger()["billed"])


def again(run: Driven) -> Driven:
    """The same task instance once more, as after a clear or a retry; the store is what survives."""
    return Driven(run.make, store=run.store, instance=Instance(max_tries=1))


UPLOADING = {"dashscope": "oss://", "gccai": "http://127.0.0.1", "freepik": "http://127.0.0.1"}


@pytest.mark.parametrize("vendor", UPLOADING)
@pytest.mark.parametrize("form", ["path", "uri", "pathlib", "object"])
def test_a_local_image_is_uploaded_once_and_paid_once(sandbox: Sandbox, make: Make, vendor: str, form: str) -> None:
    fox = make("fox.png")
    given = {"path": str(fox), "uri": f"file://{fox}", "pathlib": fox, "object": ObjectStoragePath(f"file://{fox}")}
    run = driven(first_frame=given[form], wan_conn_id=f"wan_{vendor}")
    first = run.run()
    assert first["status"] == "succeeded"
    assert uploaded(sandbox) == [digest(fox.read_bytes())]
    (task,) = sandbox.tasks()
    assert UPLOADING[vendor] in json.dumps(task["body"])
    assert again(run).run()["task_id"] == first["task_id"]
    assert (billed(sandbox), len(uploaded(sandbox))) == (1, 1)


def test_a_changed_picture_is_another_request(sandbox: Sandbox, make: Make) -> None:
    fox = make("fox.png")
    run = driven(first_frame=str(fox))
    run.run()
    make("fox.png", colour=(255, 0, 0))
    again(run).run()
    assert billed(sandbox) == 2
    assert len(set(uploaded(sandbox))) == 2


def test_the_same_picture_elsewhere_is_the_same_request(sandbox: Sandbox, make: Make) -> None:
    place = [make("fox.png")]
    run = Driven(lambda: WanImageToVideoOperator(**QUICK, first_frame=str(place[0])))
    run.run()
    place[0] = place[0].rename(place[0].with_name("moved.png"))
    again(run).run()
    assert billed(sandbox) == 1


def test_after_a_refusal_the_upload_is_used_again(sandbox: Sandbox, make: Make) -> None:
    sandbox.configure(fail_next=[{"call": "submit", "status": 400, "code": "InvalidParameter", "message": "no"}])
    run = driven(first_frame=str(make("fox.png")))
    with pytest.raises(AirflowFailException):
        run.run()
    again(run).run()
    assert (billed(sandbox), len(uploaded(sandbox))) == (1, 1)


def test_tasks_of_one_machine_share_an_upload(sandbox: Sandbox, make: Make) -> None:
    fox = make("fox.png")
    for number in range(3):
        run = driven(first_frame=str(fox), seed=number)
        run.instance.map_index = number
        run.run()
    assert (billed(sandbox), len(uploaded(sandbox))) == (3, 1)


def test_a_sandbox_that_was_started_anew_gets_its_files_again(sandbox: Sandbox, make: Make) -> None:
    fox = make("fox.png")
    for run_id in ("manual__1", "manual__2"):
        run = driven(first_frame=str(fox))
        run.instance.run_id = run_id
        run.run()
        assert (billed(sandbox), len(uploaded(sandbox))) == (1, 1)
        sandbox.reset()


@pytest.mark.parametrize("vendor", [name for name in VENDORS if name != "openai"])
def test_a_stored_clip_is_continued_by_a_signed_address(sandbox: Sandbox, s3: Any, make: Make, vendor: str) -> None:
    content = make("walk.mp4").read_bytes()
    s3.put_object(Bucket="films", Key="takes/walk.mp4", Body=content)
    run = driven(first_clip="s3://my_s3@films/takes/walk.mp4", prompt="It goes on", wan_conn_id=f"wan_{vendor}")
    first = run.run()
    (task,) = sandbox.tasks()
    (url,) = _addresses(task["body"])
    assert httpx.get(url, trust_env=False).content == content
    assert "ignature=" in url
    assert again(run).run()["task_id"] == first["task_id"]
    assert billed(sandbox) == 1
    assert task["input_seconds"] in (0, pytest.approx(3.0, abs=0.2))


def _addresses(body: Any) -> list[str]:
    if isinstance(body, str):
        return [body] if body.startswith(("http", "oss:", "data:")) else []
    values = body.values() if isinstance(body, dict) else body if isinstance(body, list) else ()
    return [url for value in values for url in _addresses(value)]


@pytest.mark.parametrize("body", ["multipart", "json"])
def test_a_server_of_ones_own_gets_a_local_image_with_the_request(
    sandbox: Sandbox, make: Make, monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WAN_OWN", connection_json(sandbox.base_url("openai"), "openai", body=body))
    run = driven(first_frame=str(make("fox.png")), prompt="It smiles", wan_conn_id="wan_own")
    first = run.run()
    (task,) = sandbox.tasks()
    assert task["mode"] == "image_to_video"
    assert again(run).run()["task_id"] == first["task_id"]
    # The sandbox keeps the file of a form where it keeps uploads.
    assert (billed(sandbox), len(uploaded(sandbox))) == (1, 1 if body == "multipart" else 0)


def test_a_small_image_travels_in_the_body(sandbox: Sandbox, make: Make) -> None:
    run = driven(first_frame=str(make("fox.png")), media="inline")
    run.run()
    (task,) = sandbox.tasks()
    (url,) = _addresses(task["body"])
    assert url.startswith("data:image/png;base64,")
    assert again(run).run()["task_id"]
    assert (billed(sandbox), uploaded(sandbox)) == (1, [])


def test_every_place_of_every_mode_takes_a_file(sandbox: Sandbox, make: Make) -> None:
    fox, walk, song, voice = make("fox.png"), make("walk.mp4"), make("song.wav"), make("voice.wav", seconds=2)
    driven(WanTextToVideoOperator, prompt="A boat", audio_url=str(song)).run()
    driven(first_frame=str(fox), last_frame=str(fox), driving_audio=str(song)).run()
    references = [{"url": str(fox), "voice": str(voice)}]
    driven(WanReferenceToVideoOperator, prompt="Hi", reference_images=references, reference_videos=[str(walk)]).run()
    driven(WanVideoEditOperator, video=str(walk), reference_images=[str(fox)], prompt="As a painting").run()
    assert [len(_addresses(task["body"])) for task in sorted(sandbox.tasks(), key=lambda task: task["created"])] == [
        1,
        3,
        3,
        2,
    ]
    assert all(url.startswith("oss://") for task in sandbox.tasks() for url in _addresses(task["body"]))


def test_templates_and_the_decorator_take_files(sandbox: Sandbox, make: Make) -> None:
    fox = make("fox.png")
    run = Driven(
        lambda: WanImageToVideoOperator(**QUICK, first_frame="{{ params.folder }}/fox.png"),
        context={"params": {"folder": str(fox.parent)}},
    )
    run.run()
    made = Driven(
        lambda: _WanVideoDecoratedOperator(
            task_id="make", poll_interval=0.1, timeout=30, mode="image_to_video", deferrable=False,
            python_callable=lambda: {"first_frame": fox, "resolution": "720P", "prompt": "It smiles"},
        )
    )  # fmt: skip
    made.run()
    assert billed(sandbox) == 2
    assert uploaded(sandbox) == [digest(fox.read_bytes())]


def test_a_relative_path_is_beside_the_dag(sandbox: Sandbox, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    fox = make("fox.png")
    monkeypatch.setattr("airflow.sdk.DAG.folder", str(fox.parent))
    driven(first_frame="fox.png").run()
    driven(first_frame="./fox.png", seed=1).run()
    assert (billed(sandbox), len(uploaded(sandbox))) == (2, 1)


def test_a_finished_video_is_adopted_when_its_picture_is_gone(sandbox: Sandbox, make: Make) -> None:
    fox = make("fox.png")
    run = driven(first_frame=str(fox))
    first = run.run()
    fox.unlink()
    assert again(run).run()["task_id"] == first["task_id"]
    other = driven(first_frame=str(fox), seed=9)
    with pytest.raises(AirflowFailException, match="first_frame: is a file that exists"):
        other.run()
    assert billed(sandbox) == 1


def test_a_lost_answer_is_settled_with_the_same_body(
    sandbox: Sandbox, s3: Any, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GCCAI compares bodies: the repeat of another process sends the addresses that were sent first."""
    monkeypatch.setattr("airflow_provider_wan.durable.recovery.SOON", 0.05)
    s3.put_object(Bucket="films", Key="fox.png", Body=make("fox.png").read_bytes())
    sandbox.configure(drop_next_answers=1)
    run = driven(first_frame="s3://my_s3@films/fox.png", wan_conn_id="wan_gccai")
    assert run.run()["status"] == "succeeded"
    assert billed(sandbox) == 1


def test_nothing_of_a_signature_or_a_content_is_recorded_or_shown(
    sandbox: Sandbox, s3: Any, make: Make, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    s3.put_object(Bucket="films", Key="fox.png", Body=make("fox.png").read_bytes())
    runs = [
        driven(first_frame="s3://my_s3@films/fox.png"),
        driven(first_frame=str(make("bear.png", colour=(9, 9, 9))), wan_conn_id="wan_freepik"),
        driven(first_frame=str(make("owl.png", colour=(3, 3, 3))), media="inline"),
    ]
    for run in runs:
        run.run()
    recorded = json.dumps([run.store.rows for run in runs if isinstance(run.store, Store)])
    shown = json.dumps([[run.instance.xcoms, [step.kwargs for step in run.steps]] for run in runs], default=str)
    said = caplog.text + capsys.readouterr().out
    for text in (recorded, shown, said.replace("botocore", "")):
        assert "iVBORw0" not in text
        assert KEY not in text
        assert "oss://" not in text
    for task in sandbox.tasks():
        for url in _addresses(task["body"]):
            assert url not in recorded + shown
            query = url.partition("?")[2]
            assert not query or query not in recorded + shown


def test_of_several_accounts_the_one_that_can_have_the_file_is_taken(sandbox: Sandbox, make: Make) -> None:
    fox = make("fox.png")
    run = driven(first_frame=str(fox), wan_conn_id=["wan_powertokens", "wan_gccai"])
    first = run.run()
    assert (first["vendor"], uploaded(sandbox)) == ("gccai", [digest(fox.read_bytes())])
    assert again(run).run()["task_id"] == first["task_id"]
    assert billed(sandbox) == 1


def test_a_refusal_carries_the_file_to_the_next_account(sandbox: Sandbox, make: Make) -> None:
    fox = make("fox.png")
    refusal = {"call": "submit", "status": 400, "code": "Arrearage", "message": "overdue", "vendor": "dashscope"}
    sandbox.configure(fail_next=[refusal])
    run = driven(first_frame=str(fox), wan_conn_id=["wan_dashscope", "wan_gccai"])
    assert run.run()["vendor"] == "gccai"
    assert uploaded(sandbox) == [digest(fox.read_bytes())] * 2
