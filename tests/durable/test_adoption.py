"""What a later attempt does with a recorded task, row by row of the contract; the vendor's books are the judge."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_wan.client.errors import WanAuthError, WanRequestError, WanSubmissionUnknown, WanTaskFailed
from airflow_provider_wan.client.requests import TextToVideoRequest
from airflow_provider_wan.client.tasks import TaskStatus, utc_now
from airflow_provider_wan.durable import STATE_KEY, LedgerError, Policies

from .conftest import VENDORS, MakeAttempts

every_vendor = pytest.mark.parametrize("vendor", VENDORS)


@every_vendor
def test_nothing_recorded_submits_once(attempts: MakeAttempts, vendor: str) -> None:
    run = attempts(vendor)
    first = run.obtain()
    assert not first.is_adopted
    assert run.created == run.posts() == 1
    assert run.record is not None
    assert run.record["handle"]["task_id"] == first.handle.task_id


@every_vendor
def test_a_running_task_is_adopted(attempts: MakeAttempts, vendor: str) -> None:
    run = attempts(vendor, prompt="x [sandbox run-forever]")
    first = run.obtain()
    again = run.obtain()
    assert again.is_adopted
    assert again.handle == first.handle
    assert again.task is not None
    assert again.task.status is TaskStatus.RUNNING
    assert run.created == run.posts() == 1
    assert run.record is not None
    assert run.record["adopted"]


def test_a_queued_task_is_adopted(attempts: MakeAttempts) -> None:
    run = attempts(prompt="x [sandbox hold]")
    first = run.obtain()
    again = run.obtain()
    assert again.is_adopted
    assert again.handle == first.handle
    assert again.task is not None
    assert again.task.status is TaskStatus.PENDING
    assert run.created == 1
    assert run.cancels == []


@every_vendor
def test_a_succeeded_task_is_used_and_not_paid_again(attempts: MakeAttempts, vendor: str) -> None:
    run = attempts(vendor)
    first = run.obtain()
    run.over(first.handle)
    again = run.obtain(is_alive=lambda task: True)
    assert again.is_adopted
    assert again.task is not None
    assert again.task.status is TaskStatus.SUCCEEDED
    assert again.task.video_url
    assert run.created == 1


@every_vendor
def test_a_dead_url_of_a_video_that_was_not_stored_is_paid_anew_on_a_clear_only(
    attempts: MakeAttempts, vendor: str, caplog: pytest.LogCaptureFixture
) -> None:
    run = attempts(vendor)
    first = run.obtain()
    run.over(first.handle)
    for _ in range(2):
        with pytest.raises(WanTaskFailed, match="automatic retry does not pay for it again") as caught:
            run.obtain(is_alive=lambda task: False)
        assert not caught.value.retryable
        assert caught.value.task_id == first.handle.task_id
    assert run.created == 1
    again = run.obtain(is_alive=lambda task: False, series="1")
    assert not again.is_adopted
    assert again.handle != first.handle
    assert run.created == 2
    assert "expired" in caplog.text
    assert "paid anew" in caplog.text


@pytest.mark.parametrize("is_vendor_there", [True, False], ids=["vendor-answers", "vendor-away"])
def test_a_stored_video_needs_no_living_url(attempts: MakeAttempts, is_vendor_there: bool) -> None:
    run = attempts()
    first = run.obtain()
    run.over(first.handle)
    stored = {"uri": "s3://b/k.mp4", "bytes": 9, "sha256": "0"}
    run.change_record(finished=True, stored=stored)
    if not is_vendor_there:
        run.sandbox.configure(outage=60)
    again = run.obtain(is_stored=lambda found: found == stored, is_alive=lambda task: False)
    assert again.stored == stored
    assert again.handle == first.handle
    assert run.created == 1


def test_a_stored_video_that_was_deleted_falls_back_to_the_vendors(attempts: MakeAttempts) -> None:
    run = attempts()
    first = run.obtain()
    run.over(first.handle)
    run.change_record(stored={"uri": "s3://b/k.mp4"})
    again = run.obtain(is_stored=lambda _: False)
    assert again.stored is None
    assert again.handle == first.handle
    assert run.created == 1


def test_a_storage_that_cannot_be_asked_is_not_a_lost_video(attempts: MakeAttempts) -> None:
    run = attempts()
    run.over(run.obtain().handle)
    run.change_record(stored={"uri": "s3://b/k.mp4"})

    def away(_: Any) -> bool:
        raise PermissionError("AccessDenied")

    with pytest.raises(LedgerError, match="nothing was submitted") as caught:
        run.obtain(is_stored=away)
    assert caught.value.retryable
    assert run.created == 1


@every_vendor
def test_a_failed_task_is_made_anew(attempts: MakeAttempts, vendor: str) -> None:
    run = attempts(vendor, prompt="x [sandbox fail=InternalError]")
    first = run.obtain()
    run.over(first.handle)
    again = run.obtain()
    assert not again.is_adopted
    assert again.handle != first.handle
    assert run.created == 2
    assert run.sandbox.ledger()["billed"] == []


def test_a_cancelled_task_is_made_anew(attempts: MakeAttempts) -> None:
    run = attempts(prompt="x [sandbox hold]")
    first = run.obtain()
    run.sandbox.change(first.handle.task_id, "cancel")
    assert not run.obtain().is_adopted
    assert run.created == 2


def test_a_new_submission_after_a_failed_task_has_a_new_key(attempts: MakeAttempts) -> None:
    run = attempts("gccai", prompt="x [sandbox fail=InternalError]")
    run.over(run.obtain().handle)
    first = run.record
    run.obtain()
    assert first is not None
    assert run.record is not None
    assert run.record["idempotency_key"] != first["idempotency_key"]


# -- a task that the vendor does not know (any more) -----------------------------------------------------


@every_vendor
def test_a_task_older_than_a_day_is_gone_and_made_anew(attempts: MakeAttempts, vendor: str) -> None:
    run = attempts(vendor)
    first = run.obtain()
    run.sandbox.change(first.handle.task_id, "expire")
    run.change_record(handle=run_handle(run.record, hours=25))
    with pytest.raises(WanTaskFailed, match="older than 24 h"):
        run.obtain()
    assert run.created == 1
    again = run.obtain(series="1")
    assert not again.is_adopted
    assert run.created == 2


@every_vendor
def test_a_young_task_that_the_vendor_does_not_know_is_not_paid_again(attempts: MakeAttempts, vendor: str) -> None:
    run = attempts(vendor)
    first = run.obtain()
    run.sandbox.change(first.handle.task_id, "expire")
    run.change_record(handle=run_handle(run.record, hours=1))
    with pytest.raises(WanSubmissionUnknown, match="account, region or workspace") as caught:
        run.obtain()
    assert caught.value.task_id == first.handle.task_id
    assert not caught.value.retryable
    assert run.created == 1
    assert not run.obtain(policies=Policies(on_unknown_submission="resubmit")).is_adopted
    assert run.created == 2


def test_a_task_that_was_deleted_when_it_was_cancelled_is_made_anew_after_a_clear(attempts: MakeAttempts) -> None:
    run = attempts("openai")
    run.sandbox.configure(generation_seconds=60)
    first = run.obtain()
    assert run.client().cancel_task(first.handle)
    run.change_record(handle=run_handle(run.record, hours=1))
    with pytest.raises(WanSubmissionUnknown):
        run.obtain()
    assert not run.obtain(series="1").is_adopted
    assert run.created == 2


def test_a_gateway_may_not_know_its_newest_task_yet(attempts: MakeAttempts) -> None:
    run = attempts("powertokens")
    first = run.obtain()
    run.sandbox.configure(fail_next=[{"call": "query", "status": 404}])
    again = run.obtain()
    assert again.is_adopted
    assert again.handle == first.handle
    assert run.created == 1


@every_vendor
def test_a_vendor_in_trouble_is_no_reason_to_pay_again(attempts: MakeAttempts, vendor: str) -> None:
    run = attempts(vendor, prompt="x [sandbox run-forever]")
    first = run.obtain()
    run.sandbox.configure(error_rates={"query": {500: 1}})
    again = run.obtain()
    assert again.is_adopted
    assert again.task is None
    assert again.handle == first.handle
    assert run.created == 1


def test_a_refused_key_is_told_and_pays_nothing(attempts: MakeAttempts) -> None:
    run = attempts(prompt="x [sandbox run-forever]")
    run.obtain()
    run.sandbox.configure(fail_next=[{"call": "query", "status": 401, "code": "InvalidApiKey"}])
    with pytest.raises(WanAuthError):
        run.obtain()
    assert run.created == 1
    assert run.obtain().is_adopted


def run_handle(record: dict[str, Any] | None, hours: float) -> dict[str, Any]:
    """The recorded handle as if it were ``hours`` old."""
    assert record is not None
    return dict(record["handle"]) | {"submitted_at": (utc_now() - timedelta(hours=hours)).isoformat()}


# -- another request -------------------------------------------------------------------------------------


def test_a_changed_request_cancels_what_is_queued_and_submits(attempts: MakeAttempts) -> None:
    run = attempts(prompt="x [sandbox hold]")
    first = run.obtain()
    again = run.obtain(TextToVideoRequest(prompt="y"))
    assert not again.is_adopted
    assert run.cancels == [(first.handle.task_id, True)]
    run.over(again.handle)
    assert [task["prompt"] for task in run.sandbox.ledger()["billed"]] == ["y"]


def test_a_changed_request_says_that_a_running_task_is_billed(
    attempts: MakeAttempts, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    run = attempts(prompt="x [sandbox run-forever]")
    first = run.obtain()
    run.obtain()
    run.obtain(TextToVideoRequest(prompt="y"))
    assert run.cancels == [(first.handle.task_id, False)]
    assert f"{first.handle.task_id} cannot be cancelled; if it still runs, it is billed" in caplog.text


def test_a_finished_task_of_a_changed_request_is_not_cancelled(attempts: MakeAttempts) -> None:
    run = attempts()
    run.over(run.obtain().handle)
    run.change_record(finished=True)
    run.obtain(TextToVideoRequest(prompt="y"))
    assert run.cancels == []


def test_a_changed_request_can_be_refused(attempts: MakeAttempts) -> None:
    run = attempts(prompt="x [sandbox run-forever]")
    first = run.obtain()
    for _ in range(2):
        with pytest.raises(WanRequestError, match="on_changed_request") as caught:
            run.obtain(TextToVideoRequest(prompt="y"), policies=Policies(on_changed_request="fail"))
        assert caught.value.task_id == first.handle.task_id
    assert run.created == 1
    assert run.cancels == []
    assert run.obtain().handle == first.handle


def test_a_refused_change_leaves_the_former_task_recorded(attempts: MakeAttempts) -> None:
    """The new request is refused, the author goes back to the old one: it is not paid a second time."""
    run = attempts(prompt="x [sandbox run-forever]")
    first = run.obtain()
    for _ in range(3):
        with pytest.raises(WanRequestError):
            run.obtain(TextToVideoRequest(prompt="y [sandbox reject=400:InvalidParameter]"))
    assert len(run.cancels) == 1
    assert run.obtain().handle == first.handle
    assert run.created == 1


def test_another_connection_is_another_request(attempts: MakeAttempts) -> None:
    run = attempts(prompt="x [sandbox run-forever]")
    run.obtain()
    assert not run.obtain(account_name="wan_other").is_adopted
    assert run.created == 2


# -- regenerate ------------------------------------------------------------------------------------------


def test_regenerate_submits_once_per_series_of_retries(attempts: MakeAttempts) -> None:
    run = attempts()
    regenerate = Policies(regenerate=True)
    first = run.obtain()
    run.over(first.handle)
    second = run.obtain(policies=regenerate, series="1")
    run.over(second.handle)
    assert not second.is_adopted
    third = run.obtain(policies=regenerate, series="1")
    assert third.is_adopted
    assert third.handle == second.handle
    assert run.created == 2
    fourth = run.obtain(policies=regenerate, series="2")
    assert not fourth.is_adopted
    assert run.created == 3


def test_regenerate_with_nothing_recorded_submits_once(attempts: MakeAttempts) -> None:
    run = attempts(prompt="x [sandbox run-forever]")
    first = run.obtain(policies=Policies(regenerate=True))
    assert run.obtain(policies=Policies(regenerate=True)).handle == first.handle
    assert run.created == 1


def test_regenerate_cancels_what_is_still_queued(attempts: MakeAttempts) -> None:
    run = attempts(prompt="x [sandbox hold]")
    first = run.obtain()
    run.obtain(policies=Policies(regenerate=True), series="1")
    assert run.cancels == [(first.handle.task_id, True)]
    assert run.created == 2


def test_a_refused_regeneration_is_tried_again_by_the_next_attempt(attempts: MakeAttempts) -> None:
    run = attempts()
    run.over(run.obtain().handle)
    run.sandbox.configure(fail_next=[{"call": "submit", "status": 401, "code": "InvalidApiKey"}])
    regenerate: dict[str, Any] = {"policies": Policies(regenerate=True), "series": "1"}
    with pytest.raises(WanAuthError):
        run.obtain(**regenerate)
    assert not run.obtain(**regenerate).is_adopted
    assert run.created == 2


# -- resubmission of an adopted task that came back cancelled ---------------------------------------------


def test_resubmitting_forgets_that_the_task_was_adopted(attempts: MakeAttempts) -> None:
    run = attempts(prompt="x [sandbox hold]")
    first = run.obtain()
    run.obtain()
    run.sandbox.change(first.handle.task_id, "cancel")
    run.attempt().resubmit()
    assert run.created == 2
    assert run.record is not None
    assert not run.record.get("adopted")
    assert run.record["former"] == [first.handle.task_id]


# -- the record ------------------------------------------------------------------------------------------


def test_a_record_of_another_shape_is_an_error_and_submits_nothing(attempts: MakeAttempts) -> None:
    for value in ({}, [], "task-1", {"fingerprint": "x"}, 0):
        run = attempts()
        assert run.store is not None
        run.store.set(STATE_KEY, value)
        with pytest.raises(LedgerError, match="not one of this provider's"):
            run.obtain()
        assert run.posts() == 0


def test_the_record_holds_no_secret_no_prompt_and_no_media(attempts: MakeAttempts) -> None:
    from airflow_provider_wan.client.requests import ImageToVideoRequest

    from .conftest import KEY

    picture = "data:image/png;base64," + "QUJD" * 4000
    run = attempts(request=ImageToVideoRequest(prompt="a very private wish", first_frame=picture, strict=False))
    run.sandbox.configure(drop_next_answers=1)
    run.obtain(policies=Policies(on_unknown_submission="resubmit"))
    run.obtain()
    assert run.store is not None
    assert len(run.store.history) >= 3
    for value in run.store.history:
        text = str(value)
        assert KEY not in text
        assert "private" not in text
        assert "base64" not in text
        assert "QUJD" not in text
        assert len(text) < 1500


def test_a_field_that_a_later_version_adds_changes_no_recorded_digest() -> None:
    class Later(TextToVideoRequest):
        camera: str | None = None
        styles: list[str] = []

    assert Later(prompt="x").fingerprint("a") == TextToVideoRequest(prompt="x").fingerprint("a")
    assert Later(prompt="x", camera="pan").fingerprint("a") != TextToVideoRequest(prompt="x").fingerprint("a")


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("a.png?X-Amz-Date=1&X-Amz-Signature=x", "a.png?X-Amz-Date=2&X-Amz-Signature=y", True),
        ("a.png?Expires=1&OSSAccessKeyId=a&Signature=x", "a.png?Expires=2&OSSAccessKeyId=b&Signature=y", True),
        ("a.png?sv=1&se=2&sig=x", "a.png?sv=1&se=3&sig=y", True),
        ("a.png?X-Goog-Signature=x", "a.png", True),
        ("a.png?versionId=1&X-Amz-Signature=x", "a.png?versionId=2&X-Amz-Signature=y", False),
        ("a.png?X-Amz-Signature=x", "b.png?X-Amz-Signature=x", False),
        ("a.png?policy=1&se=2", "a.png?policy=2&se=2", False),
        ("a.png?id=1", "a.png?id=2", False),
    ],
)
def test_a_url_that_was_only_signed_anew_is_the_same_request(one: str, other: str, is_same: bool) -> None:
    from airflow_provider_wan.client.requests import ReferenceToVideoRequest

    def digest(name: str) -> str:
        pictures: Any = [f"https://bucket.example.com/{name}"]
        return ReferenceToVideoRequest(prompt="x", reference_images=pictures).fingerprint("a")

    assert (digest(one) == digest(other)) is is_same
