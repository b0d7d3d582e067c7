"""The media of requests that are not addresses yet: checked all together, known by content, then made reachable."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from airflow_provider_wan.client.account import Account
from airflow_provider_wan.client.errors import Violation, WanError, WanRequestError
from airflow_provider_wan.client.requests import VideoRequest, media_urls, with_stand_ins
from airflow_provider_wan.client.rules.content import MOST_BYTES, Content, content_violations
from airflow_provider_wan.client.transport.client import WanClient
from airflow_provider_wan.client.urls import is_stored
from airflow_provider_wan.client.vendors import vendor_of
from airflow_provider_wan.client.vendors.base import Checked
from airflow_provider_wan.inputs.kept import KeptInputs
from airflow_provider_wan.inputs.probe import Look, can_look_inside, look_at
from airflow_provider_wan.inputs.reach import NO_WAY, Media, reach, ways_of
from airflow_provider_wan.inputs.sources import MediaSource, NotUsable

READERS = 8


class Inputs:
    """The media of one task, or of all rows of a batch; each is read once.

    :param media: how to make them reachable.
    :param bases: folders that relative paths are looked for in, in this order.
    :param kept: what earlier attempts know.
    """

    def __init__(
        self, media: Media = "auto", bases: Iterable[str] = (), kept: KeptInputs | None = None, *, log: Any
    ) -> None:
        self._media: Media = media
        self._bases = tuple(base for base in bases if base)
        self._kept = kept or KeptInputs()
        self._log = log
        self._sources: dict[str, MediaSource] = {}
        self._looks: dict[str, Look | NotUsable | WanError] = {}
        self._known: dict[str, str] = {}
        self._reached: dict[tuple[str, str, str], str] = {}
        self._said: set[str] = set()
        self._lock = threading.Lock()

    # -- checking -------------------------------------------------------------------------------------

    def read(self, requests: Iterable[VideoRequest]) -> None:
        """Look at the media of many requests, several at a time."""
        wanted = dict.fromkeys(url for request in requests for _, url in stored_media(request))
        missing = [url for url in wanted if url not in self._looks]
        if len(missing) > 1:
            with ThreadPoolExecutor(READERS, "wan-inputs") as pool:
                list(pool.map(self._look, missing))

    def checked(self, request: VideoRequest, account: Account) -> Checked:
        """Check a request and its media; return it known by their contents.

        :raises WanRequestError: listing every violation at once; nothing was uploaded or submitted.
        :raises WanError: when a storage does not answer; retryable.
        """
        vendor = vendor_of(account.vendor)
        stored = stored_media(request)
        if not stored:
            return vendor.check(request)
        stand_in, model = with_stand_ins(request), vendor.model_of(request)
        wrong: list[Violation] = []
        soft: list[Violation] = []
        try:
            checked = vendor.check(stand_in)
        except WanRequestError as error:
            wrong += error.violations
            checked = Checked(request, model, ())
        digests, contents = self._contents(stored, wrong)
        for violation in content_violations(request, model, contents):
            (wrong if violation.hard or request.strict else soft).append(violation)
        broken = {violation.field for violation in (*wrong, *soft)}
        for field, url in stored:
            look = self._looks[url]
            if field not in broken and isinstance(look, Look) and look.digest:
                way, why = ways_of(self._source(url), look, field, stand_in, account, self._media)
                if way is None:
                    rule = f"can be made reachable for {vendor.title}"
                    given = f"{self._source(url).shown} ({why})"
                    wrong.append(Violation(field, rule, given, NO_WAY, hard=True))
        if wrong:
            raise WanRequestError(violations=wrong)
        self._say_what_was_not_seen(contents)
        self._known |= digests
        self._kept.keep_digests(digests)
        return Checked(request.with_contents(digests), model, (*checked.warnings, *map(str, soft)))

    def identified(self, request: VideoRequest, before: Mapping[str, str] | None = None) -> VideoRequest:
        """Return a request known by the contents of its media, whichever account it goes to.

        :param before: digests of media that were checked before and are not read again.
        :raises WanRequestError: naming the media that are not there.
        :raises WanError: when a storage does not answer; retryable.
        """
        digests = dict(before or {})
        wrong: list[Violation] = []
        found, _ = self._contents([(field, url) for field, url in stored_media(request) if url not in digests], wrong)
        if wrong:
            raise WanRequestError(violations=wrong)
        own = digests | found
        return request.with_contents({url: own[url] for _, url in stored_media(request) if url in own})

    @property
    def digests(self) -> dict[str, str]:
        """The contents of all media that were checked, by address as it was written."""
        return dict(self._known)

    def _contents(
        self, stored: list[tuple[str, str]], wrong: list[Violation]
    ) -> tuple[dict[str, str], dict[str, Content]]:
        digests: dict[str, str] = {}
        contents: dict[str, Content] = {}
        for field, url in stored:
            look = self._look(url)
            if isinstance(look, NotUsable):
                before = self._kept.digest_of(url)
                if before is None:
                    wrong.append(replace(look.violation, field=field))
                    continue
                # What was submitted with it can still be adopted; only a new submission needs it.
                digests[url] = before
            elif isinstance(look, WanError):
                raise look
            else:
                contents[field] = look.content
                if look.digest:
                    digests[url] = look.digest
        return digests, contents

    def _look(self, url: str) -> Look | NotUsable | WanError:
        found = self._looks.get(url)
        if found is None:
            try:
                found = look_at(self._source(url), MOST_BYTES)
            except (NotUsable, WanError) as error:
                found = error
            if not isinstance(found, WanError):
                self._looks[url] = found
        return found

    def _source(self, url: str) -> MediaSource:
        with self._lock:
            return self._sources.setdefault(url, MediaSource(url, self._bases))

    def _say_what_was_not_seen(self, contents: Mapping[str, Content]) -> None:
        timed = [field for field, content in contents.items() if content.kind.startswith(("video/", "audio/"))]
        if timed and not can_look_inside():
            self._say(
                "Lengths and pixels of clips and sounds are not checked before they are paid for: install "
                "airflow-provider-wan[media] for that"
            )

    # -- reaching -------------------------------------------------------------------------------------

    def reachable(self, request: VideoRequest, client: WanClient) -> VideoRequest:
        """Return the same request with addresses that the vendor can fetch; called right before the paid call.

        :raises WanRequestError: for a medium that is gone, or that nothing makes reachable.
        :raises WanError: when a medium cannot be had or uploaded; nothing was submitted.
        """
        stored = stored_media(request)
        if not stored:
            return request
        stand_in, model = with_stand_ins(request), client.vendor.model_of(request)
        addresses = {}
        for field, url in stored:
            if url not in addresses:
                addresses[url] = self._address(field, url, stand_in, model, client)
        return request.with_addresses(addresses)

    def _address(self, field: str, url: str, stand_in: VideoRequest, model: str, client: WanClient) -> str:
        look = self._look(url)
        if isinstance(look, NotUsable):
            raise WanRequestError(violations=[replace(look.violation, field=field)])
        if isinstance(look, WanError):
            raise look
        source, account = self._source(url), client.account
        way, why = ways_of(source, look, field, stand_in, account, self._media)
        if way is None:
            rule = f"can be made reachable for {client.vendor.title}"
            raise WanRequestError(violations=[Violation(field, rule, f"{source.shown} ({why})", NO_WAY, hard=True)])
        if way == "upload" and client.vendor.upload_remark:
            self._say(f"{client.vendor.upload_remark}: keep media in storage that signs addresses (S3, GCS, Azure)")
        return reach(source, look, way, model, client, self._kept, self._log)

    def _say(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._log.warning("%s", text)


def stored_media(request: VideoRequest) -> list[tuple[str, str]]:
    """Return the media that are paths or storage URIs, with the names of their fields."""
    return [(field, url) for field, url in media_urls(request) if field != "link" and is_stored(url)]
