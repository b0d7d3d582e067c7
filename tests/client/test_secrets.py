"""The key goes to one origin, and into no text; signatures of URLs stay out of the logs."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import pickle
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from pydantic import SecretStr

from airflow_provider_wan.client.account import Account
from airflow_provider_wan.client.errors import WanAuthError, WanError
from airflow_provider_wan.client.exchange import Broken, Call
from airflow_provider_wan.client.transport import flows
from airflow_provider_wan.client.transport.client import AsyncWanClient, WanClient
from airflow_provider_wan.client.transport.flows import Patience
from airflow_provider_wan.client.transport.wire import KeyMask
from airflow_provider_wan.client.urls import public_url
from airflow_provider_wan.client.vendors.base import Upload
from tests.client.support import EVERY_VENDOR, IMAGE, KEY, T2V, account, handle, make
from tests.client.transport.loopback import Behaviour, closed_port, drop, echo, not_http, reply, serve, truncate

PNG = Upload("a.png", b"png", "image/png", "m")
ONCE = Patience(tries=1, throttled=0.0)

Act = Callable[[Any], Any]


def _blocking(to: Account, act: Act) -> Any:
    with WanClient(to) as client:
        return act(client)


def _async(to: Account, act: Act) -> Any:
    async def run() -> Any:
        async with AsyncWanClient(to) as client:
            return await act(client)

    return asyncio.run(run())


TWINS = pytest.mark.parametrize("twin", [_blocking, _async], ids=["blocking", "async"])


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows, "back_off", lambda attempt, asked=None: 0.001)


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """Everything that any logger says, from DEBUG on."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(name)s %(message)s"))
    root = logging.getLogger()
    names = ["httpx", "httpcore", "httpcore.http11", "httpcore.connection", "airflow_provider_wan", "asyncio"]
    loggers = [root, *map(logging.getLogger, names)]
    before = [(logger, logger.level, logger.disabled) for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
        logger.disabled = False
    root.addHandler(handler)
    yield stream
    root.removeHandler(handler)
    for logger, level, disabled in before:
        logger.setLevel(level)
        logger.disabled = disabled


def headers_with_key(received: Any) -> list[str]:
    return [name for name, value in received.headers.items() if KEY in value]


KEY_HEADERS = {
    "dashscope": "authorization",
    "gccai": "authorization",
    "powertokens": "authorization",
    "freepik": "x-magnific-api-key",
    "openai": "authorization",
}


@TWINS
@pytest.mark.parametrize("vendor", EVERY_VENDOR)
def test_key_goes_to_the_configured_origin_in_one_header(twin: Any, vendor: str) -> None:
    with serve(reply(200, b"{}")) as server, pytest.raises(WanError):
        twin(account(vendor, server.url), lambda client: client.get_task(handle(vendor), ONCE))
    assert headers_with_key(server.requests[0]) == [KEY_HEADERS[vendor]]
    assert KEY not in server.requests[0].path


@TWINS
def test_upload_to_another_host_carries_no_key(twin: Any) -> None:
    with serve(reply(200, b"")) as bucket:
        policy = {"data": {"upload_host": f"{bucket.url}/put?sig=s3cret-sig", "upload_dir": "d"}}
        with serve(reply(200, json.dumps(policy).encode())) as api:
            to = account("dashscope", api.url, workspace_id="llm-1")
            twin(to, lambda client: client.upload(PNG))
    assert headers_with_key(api.requests[0]) == ["authorization"]
    (received,) = bucket.requests
    assert headers_with_key(received) == []
    assert "x-dashscope-workspace" not in received.headers
    assert KEY.encode() not in received.body


@TWINS
def test_presigned_put_carries_no_key(twin: Any) -> None:
    with serve(reply(200, b"")) as bucket:
        file = {"upload_url": f"{bucket.url}/put?sig=s3cret-sig", "headers": {"x-a": "1"}, "asset_url": IMAGE}
        with serve(reply(200, json.dumps({"files": [file]}).encode())) as api:
            twin(account("freepik", api.url), lambda client: client.upload(PNG))
    assert headers_with_key(bucket.requests[0]) == []
    assert (bucket.requests[0].headers["x-a"], bucket.requests[0].body) == ("1", b"png")


@TWINS
def test_even_a_call_with_auth_takes_the_key_to_no_other_origin(twin: Any) -> None:
    with serve(reply(200, b"{}")) as api, serve(reply(200, b"{}")) as other:
        call = Call("get_task", "GET", f"{other.url}/x")
        twin(account("dashscope", api.url), lambda client: client.send(call))
        own = Call("get_task", "GET", f"{api.url}/x", auth=False)
        twin(account("dashscope", api.url), lambda client: client.send(own))
    assert headers_with_key(other.requests[0]) == []
    assert headers_with_key(api.requests[0]) == []


@TWINS
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(twin: Any, status: int) -> None:
    with serve(reply(200, b"{}")) as elsewhere, serve(reply(status, b"", location=f"{elsewhere.url}/x")) as api:
        with pytest.raises(WanError):
            twin(account("dashscope", api.url), lambda client: client.get_task(handle(), ONCE))
        with pytest.raises(WanError):
            twin(account("dashscope", api.url), lambda client: client.submit(make(T2V), patience=ONCE))
    assert elsewhere.requests == []
    assert len(api.requests) == 2


TROUBLES: dict[str, Behaviour] = {
    "drop": drop,
    "truncate": truncate,
    "not http": not_http,
    "echo in a 200": echo(200),
    "echo in a 401": echo(401),
    "echo in a 500": echo(500),
    "refused": reply(401, json.dumps({"code": "InvalidApiKey", "message": f"no such key: {KEY}"}).encode()),
}


def everything_said(error: BaseException) -> str:
    """Return what a log could show of an error: its texts, its chain, and the locals of our frames and libraries'."""
    said: list[str] = []
    link: BaseException | None = error
    while link is not None:
        said += [str(link), repr(link), repr(vars(link)), repr(link.args)]
        shown = traceback.TracebackException.from_exception(link, capture_locals=True)
        frames = [frame for frame in shown.stack if "tests" not in Path(frame.filename).parts]
        # A cause that was never raised itself has no frames; the error has.
        assert frames or link is not error
        said += [f"{frame.name} {frame.locals}" for frame in frames]
        link = link.__cause__ or link.__context__
    return "\n".join(said)


@TWINS
@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize("vendor", EVERY_VENDOR)
def test_key_stands_in_no_error_and_no_local_of_its_traceback(
    twin: Any, trouble: str, vendor: str, logged: io.StringIO
) -> None:
    for act in (
        lambda client: client.submit(make(T2V), patience=ONCE),
        lambda client: client.get_task(handle(vendor), ONCE),
        lambda client: client.test_key(),
    ):
        with serve(TROUBLES[trouble]) as server, pytest.raises(WanError) as caught:
            twin(account(vendor, server.url, timeout=2.0), act)
        assert headers_with_key(server.requests[0])
        assert KEY not in everything_said(caught.value)
        assert KEY not in repr(pickle.loads(pickle.dumps(caught.value)).args)
    assert KEY not in logged.getvalue()


@TWINS
def test_key_stands_in_no_error_of_a_host_that_is_not_there(twin: Any, logged: io.StringIO) -> None:
    with pytest.raises(WanError) as caught:
        twin(account(base_url=closed_port()), lambda client: client.submit(make(T2V), patience=ONCE))
    assert KEY not in everything_said(caught.value)
    assert KEY not in logged.getvalue()
    assert "httpcore" in logged.getvalue()


def test_key_stands_in_no_repr() -> None:
    own = account()
    for thing in (own, WanClient(own), AsyncWanClient(own), WanClient(own).flows, own.identity, own.key_fingerprint):
        assert KEY not in repr(thing)
        assert KEY not in str(thing)


@pytest.mark.parametrize("key", ["", "with space", "line\nbreak", " padded-key ", "sk-…", "tab\tkey"])
@pytest.mark.parametrize("kind", [WanClient, AsyncWanClient])
def test_a_key_that_cannot_be_one_is_refused_without_showing_it(kind: Any, key: str) -> None:
    with pytest.raises(WanAuthError) as caught:
        kind(account(key=key))
    assert not key or key.strip() not in str(caught.value)
    assert not key or key not in everything_said(caught.value)


@TWINS
def test_signatures_of_urls_are_not_logged(twin: Any, logged: io.StringIO) -> None:
    elsewhere = "https://files.example.com/a.mp4?Signature=s3cret-sig"
    with serve(reply(200, b"", location=elsewhere)) as bucket:
        policy = {"data": {"upload_host": f"{bucket.url}/put?sig=s3cret-sig", "upload_dir": "d"}}
        with serve(reply(200, json.dumps(policy).encode())) as api:
            twin(account("dashscope", api.url), lambda client: client.upload(PNG))
    assert bucket.requests[0].path == "/put?sig=s3cret-sig"
    said = logged.getvalue()
    assert "HTTP Request" in said
    assert "receive_response_headers.complete" in said
    assert "s3cret-sig" not in said
    assert KEY not in said


def test_other_users_of_httpx_log_as_before(logged: io.StringIO) -> None:
    with serve(reply(200, b"{}")) as server:
        httpx.get(f"{server.url}/x?page=7")
    assert "/x?page=7" in logged.getvalue()


def test_reason_of_a_breakage_names_no_key() -> None:
    # Built past the check of the constructor: httpx itself would quote this header in its error.
    own = account()
    client = WanClient(own)
    object.__setattr__(own, "api_key", SecretStr(f"{KEY}\n"))
    with serve(reply(200, b"{}")) as server:
        object.__setattr__(own, "base_url", server.url)
        found = WanClient.send(client, Call("get_task", "GET", "/x"))
        client.close()
    assert isinstance(found, Broken) or server.requests
    assert KEY not in repr(found)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://x.example/a.mp4?Expires=1&Signature=s", "https://x.example/a.mp4?…"),
        ("https://user:pass@x.example:8443/a#frag", "https://x.example:8443/a"),
        ("http://[::1", "(not a URL)"),
        ("data:image/png;base64,AAAA", "data:image/png;base64,…(26 characters)"),
    ],
)
def test_urls_for_the_log(url: str, shown: str) -> None:
    assert public_url(url) == shown


ODD_KEY = "sk-te+st/5f1d=0c77e1f9"

ECHOES = {
    "as it is": ODD_KEY,
    "URL": quote(ODD_KEY, safe=""),
    "URL in small letters": quote(ODD_KEY, safe="").lower(),
    "URL in a URL": quote(quote(ODD_KEY, safe=""), safe=""),
    "JSON with slashes": ODD_KEY.replace("/", "\\/"),
    "JSON codes": "".join(f"\\u00{ord(sign):02x}" for sign in ODD_KEY),
    "HTML": "".join(f"&#{ord(sign)};" for sign in ODD_KEY),
    "HTML in sixteens": "".join(f"&#x{ord(sign):X};" for sign in ODD_KEY),
}


@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES.keys())
def test_an_echoed_key_is_masked_however_it_is_written(echo: str) -> None:
    mask = KeyMask(ODD_KEY)
    assert (
        mask.text(f'{{"message": "bad key {echo} given", "b": "50%"}}')
        == '{"message": "bad key *** given", "b": "50%"}'
    )


@TWINS
def test_a_key_echoed_in_a_header_is_in_no_error(twin: Any) -> None:
    body = b'{"code": "InvalidParameter", "message": "m"}'
    with serve(reply(400, body, x_request_id=f"r-{KEY}")) as server, pytest.raises(WanError) as caught:
        twin(account("dashscope", server.url), lambda client: client.get_task(handle(), ONCE))
    assert caught.value.request_id == "r-***"
    assert KEY not in str(caught.value)
