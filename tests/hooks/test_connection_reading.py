"""What a ``wan`` connection may hold, and what is said about a wrong one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.sdk import Connection

from airflow_provider_wan.client.account import Account
from airflow_provider_wan.client.errors import WanRequestError
from airflow_provider_wan.client.vendors import vendor_of
from airflow_provider_wan.client.vendors.dashscope import vendor as dashscope
from airflow_provider_wan.get_provider_info import get_provider_info
from airflow_provider_wan.hooks import account
from airflow_provider_wan.hooks.account import account_of

KEY = "sk-connection-7f3a"


def read(extra: Any = None, **fields: Any) -> Account:
    text = extra if isinstance(extra, str) or extra is None else json.dumps(extra)
    return account_of(Connection(conn_id="c", conn_type="wan", **{"password": KEY, "extra": text, **fields}))


def refused(extra: Any = None, **fields: Any) -> dict[str, str]:
    with pytest.raises(WanRequestError) as caught:
        read(extra, **fields)
    assert KEY not in str(caught.value)
    return {violation.field: str(violation) for violation in caught.value.violations}


def test_only_a_key_is_needed() -> None:
    found = read()
    assert found == Account(
        vendor="dashscope",
        base_url="https://dashscope-intl.aliyuncs.com",
        api_key=found.api_key,
        queries_per_second=vendor_of("dashscope").queries_per_second,
        submits_per_second=vendor_of("dashscope").submits_per_second,
        timeout=30.0,
    )
    assert found.api_key.get_secret_value() == KEY
    assert KEY not in repr(found)


def test_every_field_is_read() -> None:
    found = read(
        {
            "vendor": "dashscope",
            "region": "eu-central-1",
            "workspace_id": "llm-abc123",
            "queries_per_second": 3,
            "submits_per_second": 0.5,
            "timeout": 12.5,
        }
    )
    assert found.base_url == "https://llm-abc123.eu-central-1.maas.aliyuncs.com"
    assert (found.region, found.workspace_id) == ("eu-central-1", "llm-abc123")
    assert (found.queries_per_second, found.submits_per_second, found.timeout) == (3.0, 0.5, 12.5)


def test_numbers_may_be_texts_as_older_forms_save_them() -> None:
    found = read({"vendor": "gccai", "queries_per_second": "3", "submits_per_second": " 0.5 ", "timeout": "12"})
    assert (found.queries_per_second, found.submits_per_second, found.timeout) == (3.0, 0.5, 12.0)


def test_fields_that_the_form_left_empty_are_not_given() -> None:
    empty = dict.fromkeys(("workspace_id", "queries_per_second", "submits_per_second", "timeout", "auth_header"), "")
    assert read({"vendor": "dashscope", "region": "cn-beijing", **empty}) == read({"region": "cn-beijing"})
    nulls = dict.fromkeys(empty)
    assert read({"vendor": "dashscope", "region": "cn-beijing", **nulls}) == read({"region": "cn-beijing"})


@pytest.mark.parametrize("name", ["dashscope", "gccai", "powertokens", "freepik"])
def test_each_vendor_brings_its_host_and_budgets(name: str) -> None:
    vendor = vendor_of(name)
    found = read({"vendor": name.upper() + " "})
    assert found.vendor == name
    assert found.base_url == f"https://{vendor.default_host}"
    assert (found.queries_per_second, found.submits_per_second) == (
        vendor.queries_per_second,
        vendor.submits_per_second,
    )


OWN = {"vendor": "openai"}


def test_a_server_of_ones_own_needs_a_host_and_no_key() -> None:
    found = read(OWN, host="https://videos.example.com/v1", password=None)
    assert (found.vendor, found.base_url, found.api_key.get_secret_value()) == (
        "openai", "https://videos.example.com", "",
    )  # fmt: skip
    assert (found.body, found.allow_http) == ("multipart", False)
    assert "names the server" in refused(OWN)["host"]
    assert set(refused({"vendor": "gccai"}, password=None)) == {"password"}
    assert set(refused(OWN, host="https://videos.example.com", password="two\nlines")) == {"password"}


@pytest.mark.parametrize("host", ["http://10.0.0.5:8091", "http://gpu-box:8091", "http://videos.corp.example.com"])
def test_http_to_a_private_host_is_allowed_by_word_only(host: str) -> None:
    assert "allow_http" in refused(OWN, host=host)["host"]
    assert "allow_http" in refused(OWN | {"allow_http": False}, host=host)["host"]
    for word in (True, "true", " True "):
        found = read(OWN | {"allow_http": word}, host=host)
        assert (found.base_url, found.allow_http) == (host, True)
    assert set(refused({"vendor": "gccai", "allow_http": True}, host=host)) == {"host"}


@pytest.mark.parametrize("host", ["http://8.8.8.8:8091", "http://[2001:4860:4860::8888]:8091", "ftp://10.0.0.5"])
def test_a_public_address_is_never_spoken_to_in_clear(host: str) -> None:
    assert set(refused(OWN | {"allow_http": True}, host=host)) == {"host"}


def test_wrong_fields_of_a_server_of_ones_own() -> None:
    wrong = refused(OWN | {"body": "xml", "allow_http": "perhaps"}, host="http://10.0.0.5")
    assert set(wrong) == {"extra.body", "extra.allow_http", "host"}
    assert read(OWN | {"body": "JSON"}, host="https://videos.example.com").body == "json"
    left_over = read({"vendor": "gccai", "body": "json", "allow_http": True})
    assert (left_over.body, left_over.allow_http) == ("multipart", False)


@pytest.mark.parametrize(
    "host", ["https://:s3cret-pw@proxy.example.com", "https://me:s3cret-pw@proxy.example.com", "me:s3cret-pw@proxy"]
)
def test_a_host_with_a_password_is_refused_and_not_quoted(host: str) -> None:
    wrong = refused(host=host)
    assert set(wrong) == {"host"}
    assert "s3cret-pw" not in str(wrong)


@pytest.mark.parametrize("region", dashscope.REGIONS)
def test_regions(region: str) -> None:
    shared = dashscope.SHARED_HOSTS.get(region)
    if shared:
        assert read({"region": region}).base_url == f"https://{shared}"
    else:
        assert "set workspace_id" in refused({"region": region})["extra.region"]
    workspace = read({"region": region, "workspace_id": "llm-abc"})
    assert workspace.base_url == f"https://llm-abc.{region}.maas.aliyuncs.com"


def test_what_another_vendor_left_in_the_form_means_nothing() -> None:
    found = read({"vendor": "gccai", "region": "eu-central-1", "workspace_id": "llm-abc"})
    assert (found.region, found.workspace_id) == (None, None)


@pytest.mark.parametrize(
    ("host", "more", "expected"),
    [
        ("https://proxy.example.com", {}, "https://proxy.example.com"),
        ("https://proxy.example.com/", {}, "https://proxy.example.com"),
        (" https://proxy.example.com/wan/ ", {}, "https://proxy.example.com/wan"),
        ("https://dashscope-intl.aliyuncs.com/api/v1", {}, "https://dashscope-intl.aliyuncs.com"),
        ("https://dashscope-intl.aliyuncs.com/api/v1/", {}, "https://dashscope-intl.aliyuncs.com"),
        ("https://api.example.com/v1", {}, "https://api.example.com"),
        ("https://dashscope.aliyuncs.com/compatible-mode/v1", {}, "https://dashscope.aliyuncs.com"),
        ("proxy.example.com", {}, "https://proxy.example.com"),
        ("proxy.example.com:8443", {}, "https://proxy.example.com:8443"),
        ("proxy.example.com", {"port": 8443}, "https://proxy.example.com:8443"),
        ("https://proxy.example.com/wan", {"port": 8443}, "https://proxy.example.com:8443/wan"),
        ("https://proxy.example.com:1", {"port": 8443}, "https://proxy.example.com:1"),
        ("proxy.example.com", {"schema": "https"}, "https://proxy.example.com"),
        ("http://127.0.0.1:8765", {}, "http://127.0.0.1:8765"),
        ("127.0.0.1", {"port": 8765}, "http://127.0.0.1:8765"),
        ("localhost:8765", {}, "http://localhost:8765"),
        ("localhost:8765", {"schema": "https"}, "https://localhost:8765"),
        ("http://[::1]:8765", {}, "http://[::1]:8765"),
        ("HTTPS://Proxy.Example.com", {}, "https://Proxy.Example.com"),
    ],
)
def test_forms_of_the_base_url(host: str, more: dict[str, Any], expected: str) -> None:
    assert read(host=host, **more).base_url == expected


@pytest.mark.parametrize(
    "host",
    [
        "http://proxy.example.com",
        "http://127.0.0.1.example.com",
        "http://localhost.example.com:80",
        "ftp://proxy.example.com",
        "https://",
        "https://user:word@proxy.example.com",
        "https://proxy.example.com/?key=1",
        "https://proxy.example.com/#x",
        "https://proxy.example.com:notaport",
        "https://[::1",
        "https://two words.example.com",
        "https://proxy.example.com\\@evil.example.com",
    ],
)
@pytest.mark.parametrize("port", [None, 8443])
def test_hosts_that_are_refused(host: str, port: int | None) -> None:
    assert set(refused(host=host, port=port)) == {"host"}


def test_a_connection_written_as_a_uri_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow_provider_wan.hooks.wan import WanHook

    monkeypatch.setenv("AIRFLOW_CONN_WAN_URI", f"wan://:{KEY}@127.0.0.1:8765/?vendor=freepik&timeout=5")
    found = WanHook("wan_uri").account
    assert (found.vendor, found.base_url, found.timeout) == ("freepik", "http://127.0.0.1:8765", 5.0)
    monkeypatch.setenv("AIRFLOW_CONN_WAN_URI", f"wan://:{KEY}@/?vendor=gccai")
    assert WanHook("wan_uri").account.vendor == "gccai"


@pytest.mark.parametrize("key", [None, "", "  ", "two\nlines", "schlüssel"])
def test_keys_that_are_refused(key: str | None) -> None:
    assert set(refused(password=key)) == {"password"}


def test_a_key_copied_with_blanks_is_trimmed() -> None:
    assert read(password=f" {KEY}\n").api_key.get_secret_value() == KEY


@pytest.mark.parametrize("value", ["much", 0, -1, "nan", "inf", True, [1], {"a": 1}])
@pytest.mark.parametrize("name", ["queries_per_second", "submits_per_second", "timeout"])
def test_numbers_that_are_refused(name: str, value: Any) -> None:
    assert set(refused({name: value})) == {f"extra.{name}"}


@pytest.mark.parametrize("extra", ["not json", "[1]", '"text"', "3"])
def test_extra_that_is_no_object(extra: str) -> None:
    assert set(refused(extra)) == {"extra"}


def test_auth_header() -> None:
    assert read({"vendor": "freepik", "auth_header": "x-freepik-api-key"}).auth_header == "x-freepik-api-key"
    assert set(refused({"vendor": "gccai", "auth_header": "x-key"})) == {"extra.auth_header"}
    assert set(refused({"vendor": "freepik", "auth_header": "x key:"})) == {"extra.auth_header"}


def test_all_that_is_wrong_is_named_at_once() -> None:
    wrong = refused(
        {
            "vendor": "dashscope",
            "region": "mars-1",
            "workspace_id": "a/../b",
            "queries_per_second": "much",
            "submits_per_second": 0,
            "timeout": -1,
            "auth_header": "x",
        },
        host="http://proxy.example.com",
        password="",
    )
    assert set(wrong) == {
        "password",
        "host",
        "extra.region",
        "extra.workspace_id",
        "extra.queries_per_second",
        "extra.submits_per_second",
        "extra.timeout",
        "extra.auth_header",
    }
    assert "in clear" in wrong["host"]


def test_an_unknown_vendor_is_answered_with_the_known_ones() -> None:
    said = refused({"vendor": "replicate"})
    assert "dashscope, gccai, powertokens, freepik" in said["extra.vendor"]


def test_a_field_nobody_reads_is_told(caplog: pytest.LogCaptureFixture) -> None:
    assert read({"regoin": KEY}).region is None
    assert "regoin" in caplog.text
    assert "region" in caplog.text
    assert KEY not in caplog.text


def test_the_known_fields_are_those_of_the_form() -> None:
    (kind,) = get_provider_info()["connection-types"]
    assert tuple(kind["conn-fields"]) == account.EXTRA_FIELDS
