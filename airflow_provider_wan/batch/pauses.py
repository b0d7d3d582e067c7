"""Pauses in submitting: a vendor that is throttled or cannot be reached is left alone, longer each time."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from airflow_provider_wan.batch.accounts import BatchAccounts
from airflow_provider_wan.batch.batch import Batch
from airflow_provider_wan.batch.items import Item
from airflow_provider_wan.batch.records import Backoff, Stop
from airflow_provider_wan.client.errors import WanError, WanQuotaError
from airflow_provider_wan.client.tasks import utc_now

EVERYTHING = "*"


class Pauses:
    """The pauses of one batch, kept in the head of its ledger: by model, and where there are several by account."""

    def __init__(self, batch: Batch, accounts: BatchAccounts) -> None:
        self._batch = batch
        self._accounts = accounts
        self._times = batch.settings.times
        self._shortened: set[str] = set()

    @property
    def _all(self) -> dict[str, Backoff]:
        return self._batch.ledger.head.pauses

    def begin_round(self) -> None:
        """Let each pause be shortened once more."""
        self._shortened.clear()

    def of(self, item: Item, name: str) -> list[Backoff]:
        """Return those that hold up an item at an account."""
        places = (self._place(name, self.model(item, name)), self._place(name, EVERYTHING))
        return [backoff for place in places if (backoff := self._all.get(place))]

    def model(self, item: Item, name: str) -> str:
        """Return the model by which an account counts an item."""
        return self._accounts.vendor(name).model_of(item.request) if self._accounts.is_choice else item.model

    def _place(self, name: str, model: str) -> str:
        return f"{name} {model}" if self._accounts.is_choice else model

    def may_submit(self, item: Item, name: str) -> bool:
        """Whether an item may be submitted to an account now."""
        now = utc_now()
        return not self._batch.is_stopped and all(backoff.until <= now for backoff in self.of(item, name))

    def begin(self, item: Item, name: str, error: WanError) -> None:
        """Leave a vendor alone, longer each time: a full queue takes a while to run dry.

        The vendors count by model; one that cannot be reached is so for all.
        """
        model = self.model(item, name) if isinstance(error, WanQuotaError) else EVERYTHING
        place = self._place(name, model)
        now, last = utc_now(), self._all.get(place)
        seconds = min(self._times.longest_pause, 2 * last.seconds) if last else self._times.pause
        until = now + timedelta(seconds=max(seconds, error.retry_after or 0.0))
        since = last.since if last else now
        self._all[place] = Backoff(until=until, seconds=seconds, since=since)
        if self._batch.entry(item).is_in_doubt:
            self._batch.change(item, again_at=until)
        self._batch.ledger.keep_head()
        where = "" if model == EVERYTHING else f" to {model}"
        where += f" at {name}" if self._accounts.is_choice else ""
        self._batch.log.info("Submitting%s pauses: %s", where, error)
        if now - since > self._batch.settings.timeout and not self._accounts.is_choice:
            why = f"nothing could be submitted since {since:%H:%M} UTC: {error}"
            self._batch.stop(Stop(message=why, retryable=True))
        elif self._accounts.is_choice and self._is_nothing_left(now):
            why = f"nothing could be submitted to any account for {self._batch.settings.timeout}: {error}"
            self._batch.stop(Stop(message=why, retryable=True))

    def _is_nothing_left(self, now: datetime) -> bool:
        """Whether every account that is not dead has refused everything for longer than the time-out."""
        oldest: dict[str, datetime] = {}
        for place, backoff in self._all.items():
            name = place.partition(" ")[0]
            oldest[name] = min(oldest.get(name, backoff.since), backoff.since)
        names = [name for name in self._accounts.names if not self._accounts.is_dead(name)]
        return all(name in oldest and now - oldest[name] > self._batch.settings.timeout for name in names)

    def shorten(self, item: Item, name: str) -> None:
        """Take note of a success: once a round, so that a queue that keeps filling up is not tried all the time."""
        places = {self._place(name, model) for model in (self.model(item, name), EVERYTHING)}
        for place in places & self._all.keys() - self._shortened:
            self._shortened.add(place)
            backoff, now = self._all.pop(place), utc_now()
            if backoff.seconds / 2 >= self._times.pause:
                self._all[place] = Backoff(until=now, seconds=backoff.seconds / 2, since=now)

    def end(self, ended: Iterable[tuple[str, str]]) -> None:
        """Take note that tasks have ended, by account and model: a queue that was full has room again."""
        for place in {self._place(name, model) for name, model in ended} & self._all.keys():
            self._all[place].until = min(self._all[place].until, utc_now())
