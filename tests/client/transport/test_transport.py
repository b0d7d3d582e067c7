"""Exchanges over real sockets: both clients give the same, whatever the other end does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_wan.client.account import Account
from airflow_provider_wan.client.errors import WanError, WanRequestError, WanSubmissionUnknown
from airflow_provider_wan.client.exchange import Answer, Broken, Call
from airflow_provider_wan.client.tasks import TaskStatus
from airflow_provider_wan.client.transport import flows, wire
from airflow_provider_wan.client.transport.client import MAX_CONNECTIONS, AsyncWanClient, WanClient
from airflow_provider_wan.client.transport.flows import Patience
from airflow_provider_wan.client.vendors.base import TaskFilter, Upload
from tests.client.support import CLIP, KEY, SUBMITTED, T2V, account, handle, make
from tests.client.transport.loopback import (
    Behaviour,
    Loopback,
    closed_port,
    drop,
    echo,
    flood,
    not_http,
    reply,
    serve,
    stay_silent,
    trickle,
    truncate,
)

GET = Call("get_task", "GET", "/api/v1/tasks/t1")
RUNNING = json.dumps({"output": {"task_id": "t1", "task_status": "RUNNING"}}).encode()
TAKEN = json.dumps(SUBMITTED["dashscope"]).encode()

Act = Callable[[Any], Any]
Twin = Callable[[Account, Act], Any]


def _blocking(to: Account, act: Act) -> Any:
    with WanClient(to) as client:
        return act(client)


def _async(to: Account, act: Act) -> Any:
    async def run() -> Any:
        async with AsyncWanClient(to) as client:
            return await act(client)

    return asyncio.run(run())


@pytest.fixture(params=[_blocking, _async], ids=["blocking", "async"])
def twin(request: pytest.FixtureRequest) -> Twin:
    twin: Twin = request.param
    return twin


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows, "back_off", lambda attempt, asked=None: 0.001)


def at(server: Loopback, **details: Any) -> Account:
    return account("dashscope", server.url, timeout=details.pop("timeout", 5.0), **details)


# -- one exchange ---------------------------------------------------------------------------------------------

ANSWERS: list[tuple[str, Behaviour, int, bytes]] = [
    ("good", reply(200, RUNNING), 200, RUNNING),
    ("html", reply(502, b"<html>bad gateway</html>", content_type="text/html"), 502, b"<html>bad gateway</html>"),
    ("empty", reply(200, b""), 200, b""),
    ("redirect", reply(302, b"moved", location="http://127.0.0.1:1/"), 302, b"moved"),
    ("not json", reply(200, b"\xff\xfe\x00"), 200, b"\xff\xfe\x00"),
]


@pytest.mark.parametrize(("behave", "status", "body"), [row[1:] for row in ANSWERS], ids=[row[0] for row in ANSWERS])
def test_answers_come_back_as_they_are(twin: Twin, behave: Behaviour, status: int, body: bytes) -> None:
    with serve(behave) as server:
        found = twin(at(server), lambda client: client.send(GET))
    assert isinstance(found, Answer)
    assert (found.status, found.body, found.is_cut) == (status, body, False)
    assert len(server.requests) == 1


BREAKAGES: list[tuple[str, Behaviour, str | None]] = [
    ("dropped", drop, None),
    ("truncated", truncate, "rq-77"),
    ("not http", not_http, None),
    ("broken gzip", reply(200, b"not gzip", content_encoding="gzip"), None),
    ("broken chunks", reply(200, b"zz\r\n", transfer_encoding="chunked"), None),
]


@pytest.mark.parametrize(("behave", "request_id"), [row[1:] for row in BREAKAGES], ids=[row[0] for row in BREAKAGES])
def test_what_breaks_after_the_connection_opened_is_doubtful(
    twin: Twin, behave: Behaviour, request_id: str | None
) -> None:
    with serve(behave) as server:
        found = twin(at(server), lambda client: client.send(GET))
    assert isinstance(found, Broken)
    assert (found.opened, found.request_id) == (True, request_id)
    assert found.reason


@pytest.mark.parametrize("behave", [stay_silent, trickle], ids=["silent", "trickling"])
def test_no_exchange_lasts_longer_than_its_time(twin: Twin, behave: Behaviour) -> None:
    with serve(behave) as server:
        found = twin(at(server, timeout=0.6), lambda client: client.send(GET))
    assert isinstance(found, Broken)
    assert found.opened


def test_a_gigantic_answer_is_cut(twin: Twin) -> None:
    with serve(flood) as server:
        found = twin(at(server), lambda client: client.send(GET))
    assert isinstance(found, Answer)
    assert found.is_cut
    assert len(found.body) == wire.MAX_BODY


def test_a_closed_port_was_never_opened(twin: Twin) -> None:
    found = twin(account(base_url=closed_port()), lambda client: client.send(GET))
    assert isinstance(found, Broken)
    assert not found.opened


def test_a_name_that_does_not_exist_was_never_opened(twin: Twin) -> None:
    found = twin(account(base_url="http://no-such-host.invalid"), lambda client: client.send(GET))
    assert isinstance(found, Broken)
    assert not found.opened


# -- calls ----------------------------------------------------------------------------------------------------


def test_submission_on_the_wire(twin: Twin) -> None:
    with serve(reply(200, TAKEN)) as server:
        made = twin(at(server, workspace_id="llm-1"), lambda client: client.submit(make(T2V, prompt="图 café")))
    assert made.task_id == "t1"
    (received,) = server.requests
    assert (received.method, received.path) == ("POST", "/api/v1/services/aigc/video-generation/video-synthesis")
    assert received.headers["authorization"] == f"Bearer {KEY}"
    assert received.headers["content-type"] == "application/json"
    assert received.headers["x-dashscope-async"] == "enable"
    assert received.headers["x-dashscope-workspace"] == "llm-1"
    assert received.headers["user-agent"] == "airflow-provider-wan"
    assert json.loads(received.body)["input"] == {"prompt": "图 café"}


@pytest.mark.parametrize(
    "behave",
    [drop, truncate, not_http, stay_silent, trickle, flood, reply(200, b""), reply(200, b"<html>"), reply(500, b"")],
    ids=["drop", "truncate", "not http", "silent", "trickle", "flood", "empty", "html", "500"],
)
def test_lost_answer_of_a_submission_is_unknown_after_one_call(twin: Twin, behave: Behaviour) -> None:
    with serve(behave) as server, pytest.raises(WanSubmissionUnknown):
        twin(at(server, timeout=0.6), lambda client: client.submit(make(T2V)))
    assert len(server.requests) == 1


def test_submission_waits_for_a_vendor_that_is_not_there_yet(twin: Twin) -> None:
    outcomes = [reply(429, b""), reply(429, b"{}"), reply(200, TAKEN)]
    with serve(lambda *given: outcomes.pop(0)(*given)) as server:
        assert twin(at(server), lambda client: client.submit(make(T2V))).task_id == "t1"
    assert len(server.requests) == 3


def test_refused_request_is_not_sent(twin: Twin) -> None:
    with serve(reply(200, TAKEN)) as server, pytest.raises(WanRequestError, match="duration"):
        twin(at(server), lambda client: client.submit(make(T2V, duration=99)))
    assert server.requests == []


@pytest.mark.parametrize(
    "value", [object(), float("nan"), {"a": {1, 2}}, "\ud800"], ids=["object", "nan", "set", "half a character"]
)
def test_what_cannot_be_written_down_is_refused_before_sending(twin: Twin, value: Any) -> None:
    with serve(reply(200, TAKEN)) as server:
        with pytest.raises(WanRequestError, match="extra_body"):
            twin(at(server), lambda client: client.submit(make(T2V, extra_body={"x": value})))
        with pytest.raises(WanRequestError, match="submit"):
            twin(at(server), lambda client: client.send(Call("submit", "POST", "/x", json={"x": value})))
    assert server.requests == []


def test_query_survives_a_bad_moment(twin: Twin) -> None:
    outcomes = [drop, reply(503, b"<html>"), truncate, reply(200, RUNNING)]
    with serve(lambda *given: outcomes.pop(0)(*given)) as server:
        task = twin(at(server), lambda client: client.get_task(handle(), Patience(tries=4)))
    assert task.status is TaskStatus.RUNNING
    assert [received.path for received in server.requests] == ["/api/v1/tasks/t1"] * 4


def test_list_walks_through_its_pages(twin: Twin) -> None:
    def behave(server: Loopback, connection: Any, received: Any) -> None:
        number = 1 if "page_no=1&" in received.path else 2
        row = {"task_id": f"t{number}", "status": "RUNNING"}
        reply(200, json.dumps({"data": [row], "total_page": 2}).encode())(server, connection, received)

    def names(client: Any) -> Any:
        if isinstance(client, WanClient):
            return [task.task_id for task in client.list_tasks(TaskFilter())]
        return _names(client)

    async def _names(client: AsyncWanClient) -> list[str]:
        return [task.task_id async for task in client.list_tasks(TaskFilter())]

    with serve(behave) as server:
        assert twin(at(server), names) == ["t1", "t2"]


@pytest.mark.parametrize("repeated", ["the last page", "the first page"])
def test_a_list_that_repeats_a_page_is_at_its_end(twin: Twin, repeated: str) -> None:
    """Freepik names no last page; a vendor that gives one again would keep us for ever."""

    def behave(server: Loopback, connection: Any, received: Any) -> None:
        number = int(received.path.partition("page=")[2] or 1)
        if number > 2:
            number = 2 if repeated == "the last page" else 1
        rows = [{"task_id": f"t{number}-{row}", "status": "CREATED"} for row in range(2)]
        reply(200, json.dumps({"data": rows}).encode())(server, connection, received)

    def names(client: Any) -> Any:
        if isinstance(client, WanClient):
            return [task.task_id for task in client.list_tasks(TaskFilter())]
        return _names(client)

    async def _names(client: AsyncWanClient) -> list[str]:
        return [task.task_id async for task in client.list_tasks(TaskFilter())]

    with serve(behave) as server:
        assert twin(account("freepik", server.url), names) == ["t1-0", "t1-1", "t2-0", "t2-1"]
    assert len(server.requests) == 3


def test_cancel_and_key_check(twin: Twin) -> None:
    with serve(reply(200, b'{"request_id": "q"}')) as server:
        assert twin(at(server), lambda client: client.cancel_task(handle())) is True
        assert "accepts the key" in twin(at(server), lambda client: client.test_key())
    assert [received.method for received in server.requests] == ["POST", "GET"]


def test_image_form_of_gccai(twin: Twin) -> None:
    with serve(reply(200, json.dumps({"url": CLIP}).encode())) as server:
        url = twin(
            account("gccai", server.url), lambda client: client.upload(Upload("a.png", b"\x89PNG", "image/png", "m"))
        )
    assert url == CLIP
    (received,) = server.requests
    assert received.headers["content-type"].startswith("multipart/form-data")
    assert b'name="file"; filename="a.png"' in received.body
    assert b"\x89PNG" in received.body


def test_base_url_with_a_path_keeps_it(twin: Twin) -> None:
    with serve(reply(200, RUNNING)) as server:
        twin(account(base_url=f"{server.url}/proxy"), lambda client: client.get_task(handle()))
    assert server.requests[0].path == "/proxy/api/v1/tasks/t1"


def test_connections_are_kept(twin: Twin) -> None:
    def thrice(client: Any) -> Any:
        if isinstance(client, WanClient):
            return [client.send(GET) for _ in range(3)]
        return _thrice(client)

    async def _thrice(client: AsyncWanClient) -> list[Any]:
        return [await client.send(GET) for _ in range(3)]

    with serve(reply(200, RUNNING)) as server:
        assert len(twin(at(server), thrice)) == 3
    assert (server.connections, len(server.requests)) == (1, 3)


async def test_many_at_once_share_a_bounded_pool() -> None:
    with serve(reply(200, RUNNING)) as server:
        async with AsyncWanClient(at(server)) as client:
            found = await asyncio.gather(*(client.get_task(handle()) for _ in range(60)))
    assert {task.status for task in found} == {TaskStatus.RUNNING}
    assert server.open_most <= MAX_CONNECTIONS


async def test_cancelling_a_call_cancels_it() -> None:
    with serve(stay_silent) as server:
        async with AsyncWanClient(at(server, timeout=20.0)) as client:
            call = asyncio.create_task(client.send(GET))
            assert await asyncio.to_thread(server.arrived.wait, 10)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call


def test_echoed_keys_are_cut_out(twin: Twin) -> None:
    with serve(echo(500)) as server, pytest.raises(WanError) as caught:
        twin(at(server), lambda client: client.get_task(handle(), Patience(tries=1)))
    assert KEY in server.requests[0].headers["authorization"]
    assert KEY not in str(caught.value)
    assert "***" in str(caught.value)
