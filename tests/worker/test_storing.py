"""A place for the video is proven before it is paid for; a video that cannot be stored is not lost."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_wan.client.errors import WanError
from airflow_provider_wan.operators.batch import WanVideoBatchOperator
from airflow_provider_wan.operators.wan import WanTextToVideoOperator
from airflow_provider_wan.sandbox import Sandbox
from airflow_provider_wan.transfers.wan_to_object_storage import WanVideoToObjectStorageOperator
from tests.driving import Driven, Instance

QUICK: dict[str, Any] = {"task_id": "make", "prompt": "A boat", "poll_interval": 0.1, "timeout": 30}


def making(**given: Any) -> Driven:
    return Driven(lambda: WanTextToVideoOperator(**(QUICK | {"resolution": "720P"} | given)))


@pytest.mark.parametrize("is_deferrable", [True, False])
@pytest.mark.parametrize(
    "place", ["s4://bucket/clip.mp4", "gs://bucket/clip.mp4", "/dev/null/clip.mp4", "{{ none }}", "{{ 's3:/b/c' }}"]
)
def test_a_place_that_cannot_be_is_refused_before_anything_is_paid(
    sandbox: Sandbox, place: str, is_deferrable: bool
) -> None:
    """Unknown scheme, missing file-system package, folder that cannot be written to, templates of nothing."""
    run = making(store_to=place, deferrable=is_deferrable)
    with pytest.raises(AirflowFailException, match="store_to"):
        run.run()
    assert sandbox.ledger()["created"] == []
    assert run.store is not None
    assert "wan_submission" not in run.store.rows


def test_what_is_paid_is_adopted_whatever_has_become_of_the_place(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A place that is lost after the payment costs nothing: the next attempt adopts, and stores."""
    monkeypatch.setenv("AIRFLOW__WAN__GALLERY", "False")
    folder = tmp_path / "videos"
    run = making(store_to=f"file://{folder}/")
    deferred = run.deferred()
    folder.rmdir()
    folder.write_text("in the way")
    event = run.trigger(deferred)
    with pytest.raises(WanError) as caught:
        run.call("execute_complete", event=event)
    message = str(caught.value)
    task_id = event["task"]["task_id"]
    for part in (f"task {task_id} was made and is paid", f"file://{folder}/", sandbox.url, "until", "clear this task"):
        assert part in message
    assert "Signature" not in message
    assert caught.value.retryable
    assert run.instance.xcoms["_link_WanVideoLink"] == event["task"]["video_url"]
    folder.unlink()
    result = run.run()
    assert result["task_id"] == task_id
    assert (folder / f"{task_id}.mp4").stat().st_size == result["bytes"]
    assert len(sandbox.ledger()["created"]) == 1


def test_a_task_that_does_not_wait_needs_no_place(sandbox: Sandbox) -> None:
    assert making(store_to="s4://bucket/clip.mp4", wait_for_completion=False).run()["task_id"]


def test_a_transfer_notices_that_its_upstream_was_made_anew(sandbox: Sandbox, tmp_path: Path) -> None:
    first, second = making().run(), making(prompt="Another boat", duration=3).run()
    place = f"file://{tmp_path}/clip.mp4"
    run = Driven(lambda: WanVideoToObjectStorageOperator(task_id="store", result=first, store_to=place))
    stored = run.run()
    downloads = sandbox.ledger()["requests"]["dashscope"]["download"]
    assert run.run()["sha256"] == stored["sha256"]
    assert sandbox.ledger()["requests"]["dashscope"]["download"] == downloads
    run.make = lambda: WanVideoToObjectStorageOperator(task_id="store", result=second, store_to=place)
    anew = run.run()
    assert anew["task_id"] == second["task_id"] != stored["task_id"]
    assert anew["sha256"] != stored["sha256"]
    assert (tmp_path / "clip.mp4").stat().st_size == anew["bytes"]


def test_what_an_older_transfer_stored_without_its_task_is_believed(sandbox: Sandbox, tmp_path: Path) -> None:
    result = making().run()
    place = f"file://{tmp_path}/clip.mp4"
    run = Driven(lambda: WanVideoToObjectStorageOperator(task_id="store", result=result, store_to=place))
    stored = run.run()
    assert run.store is not None
    run.store.set("wan_landed", {name: stored[name] for name in ("uri", "bytes", "sha256")})
    downloads = sandbox.ledger()["requests"]["dashscope"]["download"]
    assert run.run()["sha256"] == stored["sha256"]
    assert sandbox.ledger()["requests"]["dashscope"]["download"] == downloads


# -- mapped tasks ----------------------------------------------------------------------------------------


def mapped(sandbox: Sandbox, index: int, kind: Any, partial: dict[str, Any], expanded: list[dict[str, Any]]) -> Driven:
    """One instance of a mapped task."""

    def make() -> Any:
        found = kind.partial(**partial).expand_kwargs(expanded)
        return found.unmap(expanded[index])

    return Driven(make, instance=Instance(map_index=index), context={"map_index": index})


MAKING = {**QUICK, "resolution": "720P"}
MAKING.pop("prompt")


@pytest.mark.parametrize(
    ("written", "names"),
    [
        ("{folder}/clip.mp4", ["clip_0.mp4", "clip_1.mp4"]),
        ("{folder}/clip", ["clip_0", "clip_1"]),
        ("{folder}/{{{{ 'a' ~ 'b' }}}}.mp4", ["ab_0.mp4", "ab_1.mp4"]),
        ("{folder}/{{{{ map_index }}}}.mp4", ["0.mp4", "1.mp4"]),
        ("{folder}/{{{{ ti.map_index }}}}-x.mp4", ["0-x.mp4", "1-x.mp4"]),
    ],
)
def test_mapped_instances_with_one_place_do_not_overwrite_each_other(
    sandbox: Sandbox, tmp_path: Path, written: str, names: list[str]
) -> None:
    place = written.format(folder=f"file://{tmp_path}")
    rows = [{"prompt": "A boat"}, {"prompt": "A kite"}]
    for index in range(2):
        mapped(sandbox, index, WanTextToVideoOperator, {**MAKING, "store_to": place}, rows).run()
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_a_place_that_is_mapped_over_stays_as_it_is(sandbox: Sandbox, tmp_path: Path) -> None:
    rows = [{"prompt": "A boat", "store_to": f"file://{tmp_path}/boat.mp4"}]
    assert mapped(sandbox, 0, WanTextToVideoOperator, MAKING, rows).run()["uri"] == f"file://{tmp_path}/boat.mp4"


@pytest.mark.parametrize(
    ("written", "names"),
    [("clip.mp4", ["clip_0.mp4", "clip_1.mp4"]), ("", ["boat.mp4", "kite.mp4"])],
    ids=["one literal place", "an argument of the group"],
)
def test_an_instance_of_a_mapped_task_group_has_a_place_of_its_own(
    sandbox: Sandbox, tmp_path: Path, written: str, names: list[str]
) -> None:
    """The task itself is not mapped there: only the index tells its instances apart."""
    from airflow.sdk import DAG, task_group

    films = ["boat", "kite"]
    places = [f"file://{tmp_path}/{film}.mp4" for film in films]
    with DAG("films", schedule=None) as dag:

        @task_group
        def film(prompt: str, place: str) -> None:
            store_to = f"file://{tmp_path}/{written}" if written else place
            WanTextToVideoOperator(**MAKING, prompt=prompt, store_to=store_to)

        film.expand(prompt=films, place=places)
    task = dag.get_task("film.make")
    assert task.is_mapped is False
    for index in range(2):
        operator = copy.copy(task)
        # What rendering makes of the group's arguments.
        operator.prompt = films[index]
        operator.store_to = operator.store_to if written else places[index]
        instance = Instance(task_id="film.make", map_index=index)
        run = Driven(lambda operator=operator: operator, instance=instance, context={"map_index": index})
        run.run()
    assert sorted(path.name for path in tmp_path.iterdir()) == names


@pytest.mark.parametrize(
    ("written", "names"),
    [
        ("clips/", ["clips/0/1.mp4", "clips/1/1.mp4"]),
        ("clips", ["clips/0/1.mp4", "clips/1/1.mp4"]),
        ("{id}.mp4", ["1_0.mp4", "1_1.mp4"]),
        ("{{{{ map_index }}}}/{{id}}.mp4", ["0/1.mp4", "1/1.mp4"]),
    ],
)
def test_mapped_batches_with_one_place_do_not_overwrite_each_other(
    sandbox: Sandbox, tmp_path: Path, written: str, names: list[str]
) -> None:
    place = f"file://{tmp_path}/{written}" if "map_index" not in written else f"file://{tmp_path}/{written.format()}"
    given = {
        "task_id": "make",
        "poll_interval": 0.1,
        "store_to": place,
        "manifest_path": f"file://{tmp_path}/lines.jsonl",
    }
    rows = [{"requests": [{"prompt": name, "resolution": "720P", "duration": 2}]} for name in ("A boat", "A kite")]
    for index in range(2):
        mapped(sandbox, index, WanVideoBatchOperator, given, rows).run()
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*"))
    assert found == [*names, "lines_0.jsonl", "lines_1.jsonl"]


def test_mapped_transfers_with_one_place_do_not_overwrite_each_other(sandbox: Sandbox, tmp_path: Path) -> None:
    rows = [{"result": making().run()}, {"result": making(duration=3).run()}]
    given = {"task_id": "make", "store_to": f"file://{tmp_path}/clip.mp4"}
    for index in range(2):
        mapped(sandbox, index, WanVideoToObjectStorageOperator, given, rows).run()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip_0.mp4", "clip_1.mp4"]
