"""Stores the videos of a batch, in threads beside the submitting; the ledger is written by the worker's own thread."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import datetime, timedelta
from typing import Any

from airflow_provider_wan.batch.batch import Batch
from airflow_provider_wan.batch.items import Item
from airflow_provider_wan.batch.records import GONE_CODE, ItemRecord, Stop
from airflow_provider_wan.batch.targets import Holders
from airflow_provider_wan.client.account import Account
from airflow_provider_wan.client.errors import WanError
from airflow_provider_wan.client.tasks import TaskHandle, TaskStatus, VideoTask, utc_now

THREADS = 4
LONGEST_DOWNLOAD = 600.0
TRIES = 3
STORAGE_CODE = "StorageError"
UNSTORED_IN_A_ROW = 2


class Storing:
    """Stores what is made; an item whose video cannot be stored stays succeeded, its task is never paid again.

    :param account_of: returns the account that a task was made on.
    """

    def __init__(self, batch: Batch, account_of: Callable[[TaskHandle], Account]) -> None:
        self._batch = batch
        self._account_of = account_of
        self._pool: ThreadPoolExecutor | None = None
        self._under_way: dict[Future[dict[str, Any] | WanError], Item] = {}
        self._holders = Holders(batch.ledger)

    def begin(self) -> None:
        """Start to store whatever is due."""
        now = utc_now()
        for item, entry in self._batch:
            if not self._batch.is_landing(item, entry) or (entry.again_at and entry.again_at > now):
                continue
            if self._pool is None:
                self._pool = ThreadPoolExecutor(THREADS, "wan-storing")
            self._under_way[self._pool.submit(self._land, item, entry)] = item

    def collect(self) -> None:
        """Take what has been stored meanwhile; does not wait."""
        for future in [future for future in self._under_way if future.done()]:
            self._take(self._under_way.pop(future), future.result())

    def is_done_within(self, seconds: float) -> bool:
        """Wait a while for some to be stored; return whether all are."""
        wait(self._under_way, seconds, FIRST_COMPLETED)
        self.collect()
        return not self._under_way

    def close(self) -> None:
        """Let the threads go; what has not begun is left for another round."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    def wake_at(self) -> datetime | None:
        """Return the moment at which a video that could not be stored is tried again."""
        again = [entry.again_at for item, entry in self._batch if self._batch.is_landing(item, entry)]
        return min((moment for moment in again if moment), default=None)

    @property
    def is_in_trouble(self) -> bool:
        """Whether a video waits for another try to store it: until that is over, no more are paid for."""
        return any(self._batch.is_landing(item, entry) and entry.landings > 0 for item, entry in self._batch)

    def _land(self, item: Item, entry: ItemRecord) -> dict[str, Any] | WanError:
        from airflow_provider_wan.delivery.download import WanResultGone
        from airflow_provider_wan.delivery.landing import land_once

        handle = entry.record.handle if entry.record else None
        if handle is None:
            return WanError("The task is not recorded, its video cannot be fetched")
        task = VideoTask(
            task_id=handle.task_id,
            vendor=handle.vendor,
            mode=handle.mode,
            status=TaskStatus.SUCCEEDED,
            video_url=entry.video_url,
            url_expires_at=entry.url_expires_at,
            submitted_at=handle.submitted_at,
        )
        target = self._batch.targets.of(item, handle.task_id)
        try:
            account = self._account_of(handle)
            return land_once(task, target, account, entry.stored, max_seconds=LONGEST_DOWNLOAD, log=self._batch.log)
        except WanResultGone as error:
            error.code = GONE_CODE
            return error
        except WanError as error:
            return error
        except Exception as error:  # noqa: BLE001 - whatever the storage raises, the others go on
            why = f"The video could not be stored at {target}: {type(error).__name__}: {str(error)[:200]}"
            return WanError(why, code=STORAGE_CODE, task_id=handle.task_id, retryable=True)

    def _take(self, item: Item, landed: dict[str, Any] | WanError) -> None:
        batch, head = self._batch, self._batch.ledger.head
        entry = batch.entry(item)
        if not isinstance(landed, WanError):
            head.unstored = 0
            batch.change(item, again_at=None)
            self._holders.take(item.key, landed)
        elif landed.retryable and entry.landings + 1 < TRIES:
            batch.log.warning("Row %s: %s. It is tried again", item.id, landed)
            again_at = utc_now() + timedelta(seconds=batch.settings.times.store_again * (entry.landings + 1))
            batch.change(item, landings=entry.landings + 1, again_at=again_at)
        else:
            batch.give_up(item, landed, TaskStatus.SUCCEEDED)
            if landed.retryable:
                # Whether it could not be fetched or not be written: the next one will fare no better.
                head.unstored += 1
                self._stop_if_nothing_is_stored(landed)

    def _stop_if_nothing_is_stored(self, error: WanError) -> None:
        """Pay for no more videos that cannot be kept; one alone may have a place of its own that is in trouble."""
        batch = self._batch
        if batch.ledger.head.unstored >= min(UNSTORED_IN_A_ROW, len(batch.items)) and not batch.is_stopped:
            batch.stop(Stop(message=f"videos cannot be stored: {error.message}", retryable=True))
