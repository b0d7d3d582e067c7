"""What may be sent twice, and what each outcome of a call means; driven by hand, without any I/O."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from airflow_provider_wan.client.errors import (
    WanAuthError,
    WanBillingError,
    WanError,
    WanModerationError,
    WanQuotaError,
    WanRejectedError,
    WanResponseError,
    WanSubmissionUnknown,
    WanTransportError,
)
from airflow_provider_wan.client.exchange import Answer, Broken
from airflow_provider_wan.client.tasks import TaskStatus
from airflow_provider_wan.client.transport.flows import Flows, Patience
from airflow_provider_wan.client.vendors import vendor_of
from airflow_provider_wan.client.vendors.base import TaskFilter, Upload
from tests.client.support import (
    EVERY_VENDOR,
    I2V,
    IMAGE,
    SUBMITTED,
    T2V,
    account,
    answer,
    drive_flow,
    drive_submit,
    handle,
    make,
)

NEVER_OPENED = Broken("ConnectError: refused", opened=False)
LOST = Broken("ReadTimeout", opened=True)
THROTTLED = answer(429, {"message": "slow down"})
HTML = answer(200, b"<html>welcome</html>")
WITHOUT_KEYS = ("dashscope", "powertokens", "freepik")


def good(vendor: str) -> Answer:
    return answer(200, SUBMITTED[vendor])


# -- the paid POST --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vendor", EVERY_VENDOR)
def test_accepted_submission_is_one_call(vendor: str) -> None:
    before = datetime.now(UTC)
    seen = drive_submit(vendor, good(vendor), request=make(I2V))
    assert len(seen.calls) == 1
    assert seen.pauses == []
    made = seen.result
    assert (made.vendor, made.task_id, made.mode) == (vendor, "t1", I2V)
    assert before <= made.submitted_at <= datetime.now(UTC)


DOUBTFUL = [
    LOST,
    Broken("RemoteProtocolError: Server disconnected", opened=True),
    answer(500, {"code": "InternalError", "message": "m"}),
    answer(502, b"<html>bad gateway</html>"),
    answer(504, {"message": "m"}),
    answer(408, {"message": "m"}),
    answer(409, {"message": "m"}),
    answer(425, b""),
    answer(499, b""),
    HTML,
    answer(200, b""),
    answer(200, b'{"output": {"task_'),
    answer(200, {}),
    answer(202, {"status": "ok"}),
    answer(200, []),
    Answer(200, b'{"data":', is_cut=True),
]


@pytest.mark.parametrize("outcome", DOUBTFUL, ids=str)
@pytest.mark.parametrize("vendor", WITHOUT_KEYS)
def test_doubtful_submission_is_never_repeated(vendor: str, outcome: Any) -> None:
    seen = drive_submit(vendor, outcome, good(vendor))
    assert len(seen.calls) == 1
    assert type(seen.error) is WanSubmissionUnknown
    assert not seen.error.retryable
    assert "not repeated" in str(seen.error)
    assert "regenerate" in str(seen.error)


@pytest.mark.parametrize("vendor", WITHOUT_KEYS)
def test_repeats_of_a_throttled_submission_are_not_told_as_those_of_a_lost_one(vendor: str) -> None:
    seen = drive_submit(vendor, THROTTLED, LOST, good(vendor))
    assert type(seen.error) is WanSubmissionUnknown
    assert "not repeated" in str(seen.error)
    assert "key" not in str(seen.error)


@pytest.mark.parametrize("vendor", ["dashscope", "powertokens"])
def test_503_is_doubtful_where_it_is_not_documented_as_a_refusal(vendor: str) -> None:
    seen = drive_submit(vendor, answer(503, {"code": "ServiceUnavailable", "message": "m"}), good(vendor))
    assert (len(seen.calls), type(seen.error)) == (1, WanSubmissionUnknown)


@pytest.mark.parametrize("body", [{"message": "overloaded"}, b"<html>overloaded</html>"])
def test_freepik_503_is_a_refusal_and_is_repeated(body: Any) -> None:
    seen = drive_submit("freepik", answer(503, body), answer(503, body), good("freepik"))
    assert len(seen.calls) == 3
    assert seen.result.task_id == "t1"


@pytest.mark.parametrize("vendor", EVERY_VENDOR)
@pytest.mark.parametrize("outcome", [THROTTLED, answer(429, b""), NEVER_OPENED], ids=str)
def test_certainly_untaken_submission_is_repeated_as_it_was(vendor: str, outcome: Any) -> None:
    seen = drive_submit(vendor, outcome, outcome, good(vendor))
    assert seen.result.task_id == "t1"
    assert len(seen.calls) == 3
    assert seen.calls[0] is seen.calls[1] is seen.calls[2]
    assert len(seen.pauses) == 2
    assert 0 < seen.pauses[0] <= seen.pauses[1] * 2


def test_waiting_for_a_throttled_vendor_ends() -> None:
    seen = drive_submit("dashscope", *[THROTTLED] * 99, patience=Patience(throttled=5.0))
    assert type(seen.error) is WanQuotaError
    assert seen.error.retryable
    assert sum(seen.pauses) <= 5.0
    assert 3 <= len(seen.calls) < 20


def test_an_unreachable_vendor_is_said_to_have_taken_nothing() -> None:
    seen = drive_submit("dashscope", *[NEVER_OPENED] * 99, patience=Patience(throttled=2.0))
    assert type(seen.error) is WanTransportError
    assert seen.error.retryable
    assert "nothing was submitted" in str(seen.error)


REFUSED = [
    (answer(400, {"code": "InvalidParameter", "message": "m"}), WanRejectedError),
    (answer(400, {"code": "DataInspectionFailed", "message": "m"}), WanModerationError),
    (answer(401, {"code": "InvalidApiKey", "message": "m"}), WanAuthError),
    (answer(401, b"<html>"), WanAuthError),
    (answer(403, {"code": "AccessDenied", "message": "m"}), WanAuthError),
    (answer(429, {"code": "PrepaidBillOverdue", "message": "m"}), WanBillingError),
    (answer(413, b""), WanResponseError),
    (answer(200, {"code": "InvalidParameter", "message": "m"}), WanRejectedError),
    (answer(200, {"code": "Throttling", "message": "m"}), WanQuotaError),
]


@pytest.mark.parametrize(("outcome", "kind"), REFUSED, ids=str)
def test_refused_submission_is_an_error_and_not_repeated(outcome: Answer, kind: type[Exception]) -> None:
    seen = drive_submit("dashscope", outcome, good("dashscope"))
    assert len(seen.calls) == 1
    assert type(seen.error) is kind


PROXY = b"<html>no such page</html>"

PROVES_NOTHING: list[tuple[str, int, Any]] = [
    ("dashscope", 400, {"code": "InvalidParameter", "message": "request timeout after 23 seconds."}),
    ("dashscope", 400, {"code": "InvalidParameter", "message": "Failed to download input files."}),
    ("dashscope", 400, {"code": "InternalError.Timeout", "message": "m"}),
    ("dashscope", 403, {"code": "InternalError.Algo", "message": "m"}),
    ("dashscope", 400, {"code": "SomethingNew", "message": "m"}),
    ("dashscope", 200, {"code": "InternalError", "message": "m"}),
    ("dashscope", 200, {"code": "RequestTimeOut", "message": "m"}),
    ("dashscope", 200, {"code": "ServiceUnavailable", "message": "m"}),
    ("dashscope", 200, {"code": "ResponseTimeout", "message": "m"}),
    ("dashscope", 200, {"code": "SomethingNew", "message": "m"}),
    ("gccai", 400, {"error": {"code": "upstream_went_away", "message": "m"}}),
    ("gccai", 200, {"code": 500, "message": "m"}),
    ("powertokens", 400, {"code": "do_request_failed", "message": "m"}),
    ("powertokens", 400, {"code": "ali_api_error", "message": "InternalError.Timeout: m"}),
    ("freepik", 400, {"code": "upstream", "message": "m"}),
    *((vendor, status, PROXY) for vendor in EVERY_VENDOR for status in (403, 404, 307, 303, 302, 400)),
    *((vendor, 409, {"message": "m", "code": "invalid_request"}) for vendor in EVERY_VENDOR),
]


@pytest.mark.parametrize(("vendor", "status", "body"), PROVES_NOTHING)
def test_what_proves_no_refusal_is_doubtful_whatever_its_status(vendor: str, status: int, body: Any) -> None:
    seen = drive_submit(vendor, answer(status, body), patience=Patience(tries=1))
    assert (len(seen.calls), type(seen.error)) == (1, WanSubmissionUnknown)


PLAIN_REFUSALS: list[tuple[str, int, Any]] = [
    ("dashscope", 404, {"code": "ModelNotFound", "message": "m"}),
    ("gccai", 400, {"code": 400, "message": "m"}),
    ("gccai", 400, {"error": {"message": "m", "type": "invalid_request_error"}}),
    ("powertokens", 402, {"error": {"message": "m", "code": "some_new_word"}}),
    ("powertokens", 400, {"code": "ali_api_error", "message": "Arrearage: Access denied"}),
    ("freepik", 400, {"message": "prompt is too long"}),
    ("freepik", 422, {"title": "wrong", "invalid_params": [{"name": "duration", "reason": "too long"}]}),
]


@pytest.mark.parametrize(("vendor", "status", "body"), PLAIN_REFUSALS)
def test_the_vendors_own_refusal_proves_that_no_task_was_made(vendor: str, status: int, body: Any) -> None:
    seen = drive_submit(vendor, answer(status, body), key="run-1")
    assert len(seen.calls) == 1
    assert isinstance(seen.error, WanError)
    assert not isinstance(seen.error, WanSubmissionUnknown)


def test_nothing_is_sent_after_the_moment_that_ends_an_intent() -> None:
    over = datetime.now(UTC) - timedelta(seconds=1)
    seen = drive_submit("dashscope", good("dashscope"), patience=Patience(not_after=over))
    assert seen.calls == []
    assert type(seen.error) is WanTransportError
    assert seen.error.retryable
    assert "not sent" in str(seen.error)


def test_a_worker_that_stood_still_in_a_back_off_sends_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    frozen_until = datetime.now(UTC) + timedelta(hours=1)
    patience = Patience(throttled=600.0, not_after=datetime.now(UTC) + timedelta(seconds=60))
    flow = Flows(vendor_of("dashscope"), account()).submit(make(T2V), None, patience)
    next(flow)
    flow.send(THROTTLED)
    monkeypatch.setattr("airflow_provider_wan.client.transport.flows.utc_now", lambda: frozen_until)
    with pytest.raises(WanQuotaError):
        flow.send(None)


def test_what_the_answer_says_besides_the_task_is_handed_up() -> None:
    given = answer(200, SUBMITTED["gccai"], idempotency_replayed="true", date="Tue, 20 Oct 2026 02:00:01 GMT")
    seen = drive_submit("gccai", given, key="run-1")
    assert (seen.submitted.is_replayed, seen.submitted.served_at) == (True, datetime(2026, 10, 20, 2, 0, 1, tzinfo=UTC))
    assert drive_submit("gccai", answer(200, SUBMITTED["gccai"])).submitted.is_replayed is None
    proof = drive_flow(
        "gccai", lambda flows: flows.key_check(Patience()), answer(200, {}, date="Tue, 20 Oct 2026 02:00:01 GMT")
    )
    assert proof.result.served_at == datetime(2026, 10, 20, 2, 0, 1, tzinfo=UTC)


def test_a_query_that_meets_trouble_of_the_servers_is_repeated_whatever_its_status() -> None:
    trouble = answer(400, {"code": "InternalError.Timeout", "message": "m"})
    seen = drive_flow("dashscope", lambda flows: flows.get_task(handle(), Patience()), trouble, FOUND)
    assert (len(seen.calls), seen.error) == (2, None)


def test_lost_submission_keeps_the_request_id_for_a_search() -> None:
    broken_off = answer(200, b'{"output":{"task_status":"PENDING"},"request_id":"7a1d-55"')
    assert drive_submit("dashscope", broken_off).error.request_id == "7a1d-55"
    assert drive_submit("dashscope", Broken("cut", True, "7a1d-56")).error.request_id == "7a1d-56"
    failed = answer(500, {"code": "InternalError", "message": "m", "request_id": "7a1d-57"})
    assert drive_submit("dashscope", failed).error.request_id == "7a1d-57"


# -- with an idempotency key ----------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", DOUBTFUL, ids=str)
def test_idempotency_key_settles_a_doubtful_submission(outcome: Any) -> None:
    seen = drive_submit("gccai", outcome, outcome, good("gccai"), key="run-1")
    assert seen.result.task_id == "t1"
    assert len(seen.calls) == 3
    assert {call.headers["Idempotency-Key"] for call in seen.calls} == {"run-1"}


def test_every_gccai_submission_has_a_key() -> None:
    first, second = (drive_submit("gccai", LOST, good("gccai")) for _ in range(2))
    keys = [call.headers["Idempotency-Key"] for seen in (first, second) for call in seen.calls]
    assert keys[0] == keys[1] != keys[2] == keys[3]


def test_settling_ends_after_some_tries() -> None:
    seen = drive_submit("gccai", *[LOST] * 99, key="run-1", patience=Patience(tries=3, throttled=600.0))
    assert len(seen.calls) == 3
    assert type(seen.error) is WanSubmissionUnknown
    assert "repeated 2 times" in str(seen.error)


def test_a_refusal_after_a_lost_answer_proves_nothing() -> None:
    seen = drive_submit("gccai", LOST, answer(401, {"error": {"message": "key revoked"}}), key="run-1")
    assert len(seen.calls) == 2
    assert type(seen.error) is WanSubmissionUnknown
    assert "key revoked" in str(seen.error)


def test_other_vendors_keys_are_not_made_up() -> None:
    seen = drive_submit("dashscope", LOST, good("dashscope"), key="run-1")
    assert (len(seen.calls), type(seen.error)) == (1, WanSubmissionUnknown)


# -- Retry-After ----------------------------------------------------------------------------------------------


def _in(seconds: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("asked", "low", "high"),
    [
        ("7", 7.0, 7.0),
        ("2.5", 2.5, 2.5),
        (30, 20.0, 30.0),
        (-30, 0.01, 0.6),
        ("0", 0.01, 0.6),
        ("-5", 0.01, 0.6),
        ("soon", 0.01, 0.6),
        ("nan", 0.01, 0.6),
        ("inf", 0.01, 0.6),
        ("Mon, 99 Foo 2026 99:99:99 +9999999999", 0.01, 0.6),
        ("", 0.01, 0.6),
    ],
)
def test_retry_after_is_honoured(asked: str | int, low: float, high: float) -> None:
    """Numbers stand for an HTTP date so many seconds from now."""
    asked = asked if isinstance(asked, str) else _in(asked)
    throttled = answer(429, {"message": "m"}, retry_after=asked)
    for seen in (
        drive_submit("dashscope", throttled, good("dashscope")),
        drive_flow("dashscope", lambda flows: flows.get_task(handle(), Patience()), throttled, FOUND),
    ):
        assert len(seen.calls) == 2
        assert low <= seen.pauses[0] <= high


def test_a_longer_retry_after_than_there_is_patience_for_is_told() -> None:
    throttled = answer(429, {"message": "m"}, retry_after="3600")
    seen = drive_submit("dashscope", throttled, good("dashscope"))
    assert (seen.pauses, type(seen.error), seen.error.retry_after) == ([], WanQuotaError, 3600)
    seen = drive_flow("dashscope", lambda flows: flows.get_task(handle(), Patience()), throttled, FOUND)
    assert (seen.pauses, type(seen.error), seen.error.retry_after) == ([], WanQuotaError, 3600)


# -- queries --------------------------------------------------------------------------------------------------

FOUND = answer(200, {"output": {"task_id": "t1", "task_status": "RUNNING"}})


@pytest.mark.parametrize(
    "outcome",
    [
        LOST,
        NEVER_OPENED,
        HTML,
        answer(200, b""),
        answer(200, {}),
        Answer(200, b'{"output": {"task_status": "RUNNING"}}', is_cut=True),
        THROTTLED,
        *(answer(status, b"") for status in (408, 500, 502, 503, 504)),
    ],
    ids=str,
)
def test_query_is_repeated_with_back_off(outcome: Any) -> None:
    seen = drive_flow("dashscope", lambda flows: flows.get_task(handle(), Patience()), outcome, outcome, FOUND)
    assert seen.result.status is TaskStatus.RUNNING
    assert len(seen.calls) == 3
    assert 0 < seen.pauses[0] <= 0.5 < seen.pauses[1] * 2 <= 2.0


def test_query_gives_up_after_its_tries() -> None:
    seen = drive_flow("dashscope", lambda flows: flows.get_task(handle(), Patience(tries=3)), *[LOST] * 9)
    assert (len(seen.calls), type(seen.error)) == (3, WanTransportError)
    assert (seen.error.task_id, seen.error.retryable) == ("t1", True)
    seen = drive_flow("dashscope", lambda flows: flows.get_task(handle(), Patience(tries=1)), HTML)
    assert (seen.pauses, type(seen.error), seen.error.task_id) == ([], WanResponseError, "t1")


@pytest.mark.parametrize(
    ("status", "kind"), [(400, WanRejectedError), (401, WanAuthError), (403, WanAuthError), (404, WanRejectedError)]
)
def test_refused_query_is_not_repeated(status: int, kind: type[Exception]) -> None:
    refused = answer(status, {"code": "", "message": "m"})
    seen = drive_flow("dashscope", lambda flows: flows.get_task(handle(), Patience()), refused, FOUND)
    assert (len(seen.calls), type(seen.error)) == (1, kind)


# -- cancel ---------------------------------------------------------------------------------------------------

CANNOT = answer(400, {"code": "UnsupportedOperation", "message": "Failed to cancel the task, please confirm …"})


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([answer(200, {"request_id": "q"})], True),
        ([CANNOT], False),
        ([answer(503, b""), LOST, answer(200, {"request_id": "q"})], True),
        ([answer(404, {"code": "NotFound", "message": "m"})], False),
    ],
    ids=str,
)
def test_cancel_says_whether_it_worked(outcomes: list[Any], expected: bool) -> None:
    seen = drive_flow("dashscope", lambda flows: flows.cancel(handle(), Patience()), *outcomes)
    assert seen.result is expected
    assert len(seen.calls) == len(outcomes)


def test_a_page_of_html_cancels_nothing() -> None:
    seen = drive_flow("dashscope", lambda flows: flows.cancel(handle(), Patience(tries=2)), HTML, HTML)
    assert type(seen.error) is WanResponseError


@pytest.mark.parametrize("vendor", ["gccai", "powertokens", "freepik"])
def test_where_nothing_can_be_cancelled_nothing_is_sent(vendor: str) -> None:
    seen = drive_flow(vendor, lambda flows: flows.cancel(handle(vendor), Patience()))
    assert (seen.result, seen.calls) == (False, [])


# -- list, upload, key ----------------------------------------------------------------------------------------


def test_pages_name_the_next_one() -> None:
    body = {"data": [{"task_id": "t1", "status": "RUNNING"}], "total_page": 2}
    first = drive_flow("dashscope", lambda flows: flows.page(TaskFilter(), 1, Patience()), answer(200, body)).result
    last = drive_flow("dashscope", lambda flows: flows.page(TaskFilter(), 2, Patience()), answer(200, body)).result
    assert (first.next_page, last.next_page) == (2, None)


POLICY = {"upload_host": "https://files.example.com", "upload_dir": "dir", "policy": "p", "signature": "s"}
FILE = {"upload_url": "https://bucket.example.com/put", "headers": {}, "asset_url": IMAGE}
UPLOADS = {
    "dashscope": ([answer(200, {"data": POLICY}), answer(200, b"")], "oss://dir/"),
    "freepik": ([answer(200, {"files": [FILE]}), answer(200, b"")], IMAGE),
    "gccai": ([answer(200, {"url": IMAGE})], IMAGE),
}
PNG = Upload("a.png", b"png", "image/png", "m")


@pytest.mark.parametrize("vendor", UPLOADS)
def test_upload_gives_a_url(vendor: str) -> None:
    outcomes, url = UPLOADS[vendor]
    seen = drive_flow(vendor, lambda flows: flows.upload(PNG, Patience()), *outcomes)
    assert seen.result.startswith(url)
    assert [call.auth for call in seen.calls] == [True, False][: len(outcomes)]


@pytest.mark.parametrize(
    "outcome", [LOST, NEVER_OPENED, answer(403, b"<Error>Policy expired.</Error>"), answer(302, b"")], ids=str
)
@pytest.mark.parametrize("vendor", ["dashscope", "freepik"])
def test_broken_upload_says_which_file(vendor: str, outcome: Any) -> None:
    seen = drive_flow(vendor, lambda flows: flows.upload(PNG, Patience()), UPLOADS[vendor][0][0], outcome)
    assert type(seen.error) is WanTransportError
    assert "a.png" in str(seen.error)
    assert "opened=" not in str(seen.error)


def test_no_upload_without_a_permission() -> None:
    refused = answer(401, {"code": "InvalidApiKey", "message": "m"})
    seen = drive_flow("dashscope", lambda flows: flows.upload(PNG, Patience()), refused)
    assert (len(seen.calls), type(seen.error)) == (1, WanAuthError)


GOOD_KEY = {
    "dashscope": {"data": [], "total": 0},
    "gccai": {"data": []},
    "powertokens": {"data": []},
    "freepik": {"data": []},
    "openai": {"object": "list", "data": []},
}


@pytest.mark.parametrize("vendor", EVERY_VENDOR)
def test_key_check(vendor: str) -> None:
    def start(flows: Any) -> Any:
        return flows.key_check(Patience(tries=2))

    assert "accepts the key" in drive_flow(vendor, start, answer(200, GOOD_KEY[vendor])).result.message
    assert type(drive_flow(vendor, start, answer(401, {"code": "x", "message": "m"})).error) is WanAuthError
    assert type(drive_flow(vendor, start, HTML, HTML).error) is WanResponseError


def test_modes_and_models_are_in_the_handle() -> None:
    made = drive_submit("dashscope", good("dashscope"), request=make(T2V, model="wan3.0-video")).result
    assert made.to_dict() == {
        "vendor": "dashscope",
        "task_id": "t1",
        "mode": "text_to_video",
        "model": "wan3.0-video",
        "submitted_at": made.to_dict()["submitted_at"],
        "request_id": "r1",
    }


def test_a_throttled_submission_that_is_sent_again_leaves_a_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    drive_submit("dashscope", THROTTLED, good("dashscope"), request=make(T2V))
    (line,) = [record.getMessage() for record in caplog.records]
    assert "slow down" in line
    assert "sent again in" in line
    caplog.clear()
    drive_submit("dashscope", good("dashscope"), request=make(T2V))
    assert caplog.records == []
