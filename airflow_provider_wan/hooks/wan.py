"""The hook: from a connection to the vendor's API, blocking and async."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook, ObjectStoragePath

from airflow_provider_wan.client.account import Account
from airflow_provider_wan.client.errors import WanAuthError, WanError
from airflow_provider_wan.client.polling.watch import Ending, EndingStatus, Watch
from airflow_provider_wan.client.requests import VideoRequest
from airflow_provider_wan.client.tasks import Mode, TaskHandle, VideoTask, utc_now
from airflow_provider_wan.client.transport.client import AsyncWanClient, WanClient
from airflow_provider_wan.client.transport.flows import Patience
from airflow_provider_wan.client.vendors import vendor_of
from airflow_provider_wan.client.vendors.base import TaskFilter, Vendor
from airflow_provider_wan.get_provider_info import FIELD_BEHAVIOUR
from airflow_provider_wan.hooks.account import account_of, with_account
from airflow_provider_wan.hooks.looking_up import looked_up, persistently
from airflow_provider_wan.telemetry import metrics

if TYPE_CHECKING:
    from airflow_provider_wan.client.costs import CostEstimate
    from airflow_provider_wan.client.polling.poller import Poller
    from airflow_provider_wan.client.polling.window import SearchItem, WindowItem, WindowOutcome
    from airflow_provider_wan.client.recovery.search import Clue, Sought
    from airflow_provider_wan.hooks.costs import AccountCosts
    from airflow_provider_wan.inputs.reach import Media

DEFAULT_TIMEOUT = timedelta(hours=6)
DEFAULT_POLL_INTERVAL = 15.0
LOOK_UP = timedelta(minutes=5)
"""How long one of several connections is looked up before its tasks are left to the next attempt."""


class WanHook(BaseHook):
    """Talks to the vendor that the connection names; usable in operators, triggers and plain tasks.

    :param wan_conn_id: the Airflow connection (type ``wan``).
    """

    conn_name_attr = "wan_conn_id"
    default_conn_name = "wan_default"
    conn_type = "wan"
    hook_name = "Wan video generation"

    def __init__(self, wan_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.wan_conn_id = wan_conn_id
        self._account: Account | None = None
        self._client: WanClient | None = None
        self._costs: AccountCosts | None = None
        metrics.observe_clients()

    # -- connection -----------------------------------------------------------------------------------

    @property
    def account(self) -> Account:
        """The connection as the client sees it.

        :raises WanRequestError: naming every wrong field of the connection.
        """
        if self._account is None:
            self._account = account_of(self.get_connection(self.wan_conn_id))
        return self._account

    async def aget_account(self, is_fresh: bool = False) -> Account:
        """Return the account, looked up with Airflow's async API; ``is_fresh`` reads it again."""
        if self._account is None or is_fresh:
            from airflow.providers.common.compat.connection import get_async_connection

            self._account = account_of(await get_async_connection(self.wan_conn_id, hook=type(self)))
        return self._account

    @property
    def vendor(self) -> Vendor:
        """The vendor the connection names."""
        return vendor_of(self.account.vendor)

    @property
    def costs(self) -> AccountCosts:
        """What videos cost on this account, by its own prices and the shipped ones."""
        from airflow_provider_wan.hooks.costs import AccountCosts

        if self._costs is None:
            self._costs = AccountCosts(self.account)
        return self._costs

    def get_conn(self) -> WanClient:
        """Return the blocking client, made once per hook."""
        if self._client is None:
            self._client = WanClient(self.account)
        return self._client

    async def aget_conn(self) -> AsyncWanClient:
        """Return a new async client; close it, or use it with ``async with``."""
        return AsyncWanClient(await self.aget_account())

    def close(self) -> None:
        """Close the blocking client's connections."""
        if self._client is not None:
            self._client.close()
            self._client = None

    # -- the calls, blocking --------------------------------------------------------------------------

    def submit(self, request: VideoRequest, idempotency_key: str | None = None) -> TaskHandle:
        """Check ``request`` and make one paid task.

        :raises WanRequestError: before anything is sent, listing every violation.
        :raises WanSubmissionUnknown: when the answer was lost and no rule allows to send it again.
        :raises WanError: when the vendor refused it.
        """
        return self.get_conn().submit(request, idempotency_key)

    def get_task(self, handle: TaskHandle | dict[str, Any]) -> VideoTask:
        """Query one task, with back-off.

        :raises WanError: when no attempt brought a readable answer.
        """
        return self.priced(self.get_conn().get_task(TaskHandle.of(handle)))

    def estimate_cost(self, request: VideoRequest) -> CostEstimate | None:
        """Estimate what ``request`` will cost: by its documented rules, the vendor never bills more.

        Returns ``None`` where no price is known; the log says why.
        """
        from airflow_provider_wan.client.costs import NoPrice

        found = self.costs.estimate(request)
        if isinstance(found, NoPrice):
            self.log.info("What the video costs is not known: %s", found)
            return None
        return found

    def priced(self, task: VideoTask, request: VideoRequest | None = None) -> VideoTask:
        """Return an ended task with its cost, where that is known.

        :param request: of the task, where it is at hand: more vendors' tasks can be priced with it.
        """
        if not task.status.is_ended:
            return task
        cost = self.costs.cost_of(task, request)
        return task.model_copy(update={"cost": cost}) if cost else task

    def list_tasks(
        self, since: datetime, until: datetime | None = None, model: str | None = None, mode: Mode | None = None
    ) -> Iterator[VideoTask]:
        """Yield the account's tasks of a time window, where the vendor has a list.

        :param mode: Freepik keeps one list per mode (text to video when not given).
        :raises NotImplementedError: where the vendor has none.
        """
        return self.get_conn().list_tasks(TaskFilter(since, until, model, mode))

    def cancel_task(self, handle: TaskHandle | dict[str, Any], patience: Patience | None = None) -> bool:
        """Cancel a queued task; ``False`` when the vendor cannot cancel it (any more)."""
        return self.get_conn().cancel_task(TaskHandle.of(handle), patience)

    def wait(
        self,
        handle: TaskHandle | dict[str, Any],
        timeout: float | timedelta = DEFAULT_TIMEOUT,
        poll_interval: float = DEFAULT_POLL_INTERVAL,
    ) -> VideoTask:
        """Wait in this process until the task ends.

        :param timeout: seconds from now.
        :param poll_interval: seconds between two queries.
        :raises WanTaskFailed: when the vendor could not make the video.
        :raises WanTaskTimeout: when the time is over; the task goes on.
        :raises WanError: when the vendor does not know the task, or not the key.
        """
        handle = TaskHandle.of(handle)
        return self.priced(self.finished(self.wait_for_ending(handle, utc_now() + _delta(timeout), poll_interval)))

    def wait_for_ending(
        self,
        handle: TaskHandle,
        deadline: datetime,
        poll_interval: float,
        on_change: Callable[[str], None] | None = None,
    ) -> Ending:
        """Wait in this process with the rules of the trigger; return how it ended."""
        client = self.get_conn()
        watch = Watch(handle, client.vendor, deadline, on_change)
        while True:
            try:
                ending = watch.see(client.get_task(handle, Patience(tries=1)))
            except WanError as error:
                ending = watch.see_error(error)
            ending = ending or watch.see_time(utc_now())
            if ending:
                metrics.OBSERVER.ended(ending.task)
                return ending
            left = (deadline - utc_now()).total_seconds()
            time.sleep(max(0.0, min(poll_interval * random.uniform(0.9, 1.1), left)))  # noqa: S311 - jitter

    def media_url(
        self,
        path: str | Path | ObjectStoragePath,
        request_or_model: VideoRequest | str | None = None,
        media: Media = "auto",
    ) -> str:
        """Return an address of a file that the vendor can fetch, as the operators make one.

        :param path: a local file, or any storage URI; what is an address already is returned as it is.
        :param request_or_model: what it is for: DashScope binds uploads to the model.
        :param media: ``presign``, ``upload`` or ``inline``; ``auto`` takes the first that works.
        :raises WanRequestError: for a file that cannot be used or made reachable.
        :raises WanError: when the storage does not answer or the upload fails.
        """
        from airflow_provider_wan.inputs.by_hand import media_url

        return media_url(self.get_conn(), path, request_or_model, media, self.log)

    async def amedia_url(
        self,
        path: str | Path | ObjectStoragePath,
        request_or_model: VideoRequest | str | None = None,
        media: Media = "auto",
    ) -> str:
        """Return an address of a file that the vendor can fetch; see :meth:`media_url`."""
        await self.aget_account()
        return await asyncio.to_thread(self.media_url, path, request_or_model, media)

    def upload_file(self, path: str | Path | ObjectStoragePath, model: str | None = None) -> str:
        """Hand a file to the vendor, in pieces; return a URL it takes as media (living 24 to 72 h).

        :param path: a local file, or one in object storage.
        :param model: the model it is for; DashScope binds uploads to it.
        :raises WanRequestError: for a file the vendor takes no upload of.
        """
        from airflow_provider_wan.inputs.by_hand import upload_file

        return upload_file(self.get_conn(), path, model, self.log)

    def test_connection(self) -> tuple[bool, str]:
        """Prove the key without submitting anything."""
        try:
            return True, self.get_conn().test_key()
        except WanAuthError as error:
            return False, str(with_account(error, self.wan_conn_id, self.account))
        except WanError as error:
            return False, str(error)
        finally:
            self.close()

    # -- the calls, async -----------------------------------------------------------------------------

    async def asubmit(self, request: VideoRequest, idempotency_key: str | None = None) -> TaskHandle:
        """Check ``request`` and make one paid task; see :meth:`submit`."""
        async with await self.aget_conn() as client:
            return await client.submit(request, idempotency_key)

    async def aget_task(self, handle: TaskHandle | dict[str, Any]) -> VideoTask:
        """Query one task, with back-off."""
        async with await self.aget_conn() as client:
            task = await client.get_task(TaskHandle.of(handle))
        return await asyncio.to_thread(self.priced, task)

    async def alist_tasks(
        self, since: datetime, until: datetime | None = None, model: str | None = None, mode: Mode | None = None
    ) -> AsyncIterator[VideoTask]:
        """Yield the account's tasks of a time window; see :meth:`list_tasks`."""
        async with await self.aget_conn() as client:
            async for task in client.list_tasks(TaskFilter(since, until, model, mode)):
                yield task

    async def acancel_task(self, handle: TaskHandle | dict[str, Any], patience: Patience | None = None) -> bool:
        """Cancel a queued task; ``False`` when the vendor cannot cancel it (any more)."""
        async with await self.aget_conn() as client:
            return await client.cancel_task(TaskHandle.of(handle), patience)

    async def await_task(
        self,
        handle: TaskHandle | dict[str, Any],
        timeout: float | timedelta = DEFAULT_TIMEOUT,  # noqa: ASYNC109 - a time-out of the wait, with its own error
        poll_interval: float = DEFAULT_POLL_INTERVAL,
    ) -> VideoTask:
        """Wait until the task ends, sharing one poller with every other waiter of this account and loop.

        :raises WanError: as :meth:`wait`.
        """
        handle = TaskHandle.of(handle)
        ending = await self.await_ending(handle, utc_now() + _delta(timeout), poll_interval)
        await self.aget_account()
        return await asyncio.to_thread(self.priced, self.finished(ending))

    async def await_ending(
        self,
        handle: TaskHandle,
        deadline: datetime,
        poll_interval: float,
        on_change: Callable[[str], None] | None = None,
        profile: str = "",
    ) -> Ending:
        """Wait on the shared poller; return how it ended."""
        async with await self.aget_poller(deadline, on_change) as poller:
            return await poller.wait(handle, deadline, poll_interval, profile, on_change)

    async def await_clue(
        self, sought: Sought, deadline: datetime, on_change: Callable[[str], None] = lambda _: None
    ) -> Clue:
        """Look for a lost submission in the task list, sharing each reading with every other search of the account.

        :param deadline: when to come back without an answer.
        :param on_change: called with what is in the way.
        """
        async with await self.aget_poller(deadline, on_change) as poller:
            return await poller.find(sought, deadline, on_change)

    async def aget_poller(
        self, until: datetime | None = None, on_trouble: Callable[[str], None] | None = None
    ) -> Poller:
        """Return the account's shared poller in this event loop; use it with ``async with``.

        :param until: the moment to which look-ups of the connection that fail are tried again.
        """
        if self._account is None:
            self._account = await (await shared_hook(self.wan_conn_id, until, on_trouble)).aget_account()
        # Not at the top: a worker that submits or stores polls nothing, and each task is a process of its own.
        from airflow_provider_wan.client.polling.poller import shared_poller

        return shared_poller(self._account, self._read_again)

    async def _read_again(self) -> Account:
        return await self.aget_account(is_fresh=True)

    async def await_some(
        self,
        window: list[WindowItem],
        poll_interval: float,
        enough: int,
        wake_at: datetime | None = None,
        linger: float = 30.0,
        searches: list[SearchItem] | None = None,
        owner: str = "",
        *,
        on_failure: Callable[[str], None] | None = None,
        is_ended_by_failure: bool = False,
    ) -> WindowOutcome:
        """Wait on the shared poller until ``enough`` tasks of a window have ended; return what ended.

        Tasks and searches that name a connection are waited for on that one's poller.

        :param wake_at: moment to return at in any case.
        :param linger: seconds that a first ending waits for company.
        :param searches: lost submissions to look for meanwhile.
        :param owner: names the task instance that waits, so that nobody else's search takes its tasks.
        :param on_failure: called with a sentence at once when a task has brought no video; logs by default.
        :param is_ended_by_failure: return at once then.
        """
        from airflow_provider_wan.client.polling.window import names_all, wait_for_some

        wait = partial(
            wait_for_some,
            window=window,
            poll_interval=poll_interval,
            enough=enough,
            wake_at=wake_at,
            linger=linger,
            searches=searches,
            owner=owner,
            connect=_poller_of,
            on_failure=on_failure or self.log.warning,
            is_ended_by_failure=is_ended_by_failure,
        )
        if names_all(window, searches):
            return await wait(None)
        deadlines = [item.deadline for item in window] + [search.deadline for search in searches or []]
        async with await self.aget_poller(max(deadlines, default=None)) as poller:
            return await wait(poller)

    async def aupload_file(self, path: str | Path | ObjectStoragePath, model: str | None = None) -> str:
        """Hand a local file to the vendor; see :meth:`upload_file`."""
        await self.aget_account()
        return await asyncio.to_thread(self.upload_file, path, model)

    def finished(self, ending: Ending) -> VideoTask:
        """Return the task of a successful ending.

        :raises WanError: of the class that says what to do, for every other ending.
        """
        if ending.status is EndingStatus.SUCCESS:
            return ending.task
        raise self.error_of(ending)

    def error_of(self, ending: Ending) -> WanError:
        """Return the error that an ending without a video means."""
        from airflow_provider_wan.client.polling.watch import error_of

        return error_of(ending)

    # -- the form (Airflow before 3.2; later ones read provider info) ---------------------------------

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the extra fields of the connection form, as provider info declares them."""
        from airflow_provider_wan.hooks.form import form_widgets

        return form_widgets()

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return which standard fields the form hides and how it calls the others."""
        return {name.replace("-", "_"): value for name, value in FIELD_BEHAVIOUR.items()}


async def shared_hook(
    wan_conn_id: str, until: datetime | None = None, on_trouble: Callable[[str], None] | None = None
) -> WanHook:
    """Return a hook that knows its account, one for all who ask for it at about the same time.

    :param until: the moment to which look-ups that fail are tried again.
    :param on_trouble: called once with what is wrong.
    """

    async def read() -> WanHook:
        hook = WanHook(wan_conn_id)
        await hook.aget_account()
        return hook

    return await persistently(lambda: looked_up(wan_conn_id, read), until, on_trouble)


async def _poller_of(wan_conn_id: str, until: datetime) -> Poller:
    """Return the shared poller of a connection; while it cannot be looked up, the others of a window go on."""
    hook = await shared_hook(wan_conn_id, min(until, utc_now() + LOOK_UP))
    return await hook.aget_poller()


def _delta(timeout: float | timedelta) -> timedelta:
    return timeout if isinstance(timeout, timedelta) else timedelta(seconds=timeout)
