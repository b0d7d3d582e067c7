"""Several accounts under a virtual clock: nobody starves, windows are kept, nothing is left undone that can be done."""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_wan.client.errors import WanAuthError, WanBillingError, WanError, WanQuotaError, WanServerError
from airflow_provider_wan.client.routing import AccountState, Candidate, choose, learn

BEGIN = datetime(2026, 11, 24, tzinfo=UTC)
ERRORS: dict[str, WanError] = {
    "unpaid": WanBillingError("no money"),
    "refused": WanAuthError("wrong key"),
    "throttled": WanQuotaError("too fast", code="Throttling.RateQuota"),
    "full": WanQuotaError("the queue is full", code="Throttling"),
    "down": WanServerError("trouble"),
}


@dataclass(frozen=True)
class Trouble:
    """What is wrong with an account for a while, in seconds from the beginning."""

    kind: str
    begin: int
    length: int


@dataclass
class World:
    """Accounts that run so many at once; time goes from one event to the next."""

    at_once: dict[str, int]
    takes: dict[str, int]
    troubles: dict[str, list[Trouble]]
    now: float = 0.0
    states: dict[str, AccountState] = field(default_factory=dict)
    windows: dict[str, float] = field(default_factory=dict)
    under_way: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    events: list[tuple[float, int, str]] = field(default_factory=list)

    def answer(self, name: str) -> WanError | None:
        """What a submission is answered at this moment."""
        for trouble in self.troubles.get(name, ()):
            if trouble.begin <= self.now < trouble.begin + trouble.length:
                return ERRORS[trouble.kind]
        return ERRORS["full"] if self.under_way[name] >= self.takes[name] else None

    def run(self, items: int, route: str = "spread") -> None:
        """Submit all items, one after the other, and play all ends."""
        number = 0
        while items or self.events:
            while items and (name := self._choice(route)):
                error = self.answer(name)
                moment = BEGIN + timedelta(seconds=self.now)
                if error is not None:
                    self.refusals[name] += 1
                    assert self.refusals[name] < 200, "an account is asked on and on"
                    self.states[name] = self.states.get(name, AccountState()).after(error, moment)
                    if isinstance(error, WanQuotaError) and learn.is_too_many(error):
                        self.windows[name] = learn.after_refusal(self.under_way[name])
                    continue
                self.states[name] = AccountState()
                items, number = items - 1, number + 1
                self.under_way[name] += 1
                assert self.under_way[name] <= self.takes[name]
                heapq.heappush(
                    self.events, (self.now + 10.0 * (1 + self.under_way[name] // self.at_once[name]), number, name)
                )
            moments = [state.until for state in self.states.values() if state.until]
            waits = [(until - BEGIN).total_seconds() for until in moments]
            following = min(
                [event[0] for event in self.events[:1]] + [wait for wait in waits if wait > self.now], default=None
            )
            assert following is not None, "items are left, and nothing will ever happen"
            self.now = following
            while self.events and self.events[0][0] <= self.now:
                _, _, name = heapq.heappop(self.events)
                self.under_way[name] -= 1
                self.done[name] += 1
                if name in self.windows:
                    self.windows[name] = learn.after_success(self.windows[name], 1, 1000)

    def _choice(self, route: str) -> str | None:
        listed = [
            Candidate(
                name,
                self.states.get(name, AccountState()),
                under_way=self.under_way[name],
                at_once=at_once,
                has_room=self.under_way[name] < int(self.windows.get(name, 1000)),
            )
            for name, at_once in self.at_once.items()
        ]
        return choose(listed, route, BEGIN + timedelta(seconds=self.now), trusts_memory=True).name  # type: ignore[arg-type]


AT_ONCE = st.dictionaries(st.sampled_from("abcd"), st.integers(1, 8), min_size=1)
TROUBLES = st.dictionaries(
    st.sampled_from("abcd"),
    st.lists(
        st.builds(
            Trouble,
            st.sampled_from(["unpaid", "refused", "throttled", "down"]),
            st.integers(0, 300),
            st.integers(1, 3000),
        ),
        max_size=3,
    ),
)


@given(at_once=AT_ONCE, troubles=TROUBLES, items=st.integers(1, 120), route=st.sampled_from(["spread", "failover"]))
def test_all_is_done_whatever_happens_for_a_while(
    at_once: dict[str, int], troubles: dict[str, list[Trouble]], items: int, route: str
) -> None:
    world = World(at_once, {name: 2 * count for name, count in at_once.items()}, troubles)
    world.run(items, route)
    assert world.done.total() == items


@given(at_once=st.dictionaries(st.sampled_from("abcd"), st.integers(1, 8), min_size=2), rounds=st.integers(4, 12))
def test_no_account_in_order_starves_when_work_is_spread(at_once: dict[str, int], rounds: int) -> None:
    world = World(at_once, dict.fromkeys(at_once, 10_000), {})
    whole = sum(at_once.values())
    world.run(whole * rounds)
    for name, count in at_once.items():
        share = world.done[name] / (whole * rounds)
        assert abs(share - count / whole) <= 0.5 * count / whole + 1 / rounds


@given(at_once=st.integers(1, 5), takes=st.integers(1, 40), items=st.integers(1, 200))
def test_a_window_is_learnt_from_few_refusals(at_once: int, takes: int, items: int) -> None:
    world = World({"a": at_once, "b": at_once}, {"a": takes, "b": takes}, {})
    world.run(items)
    assert world.done.total() == items
    # One to learn it, and one each time it has opened again by one.
    assert world.refusals["a"] <= 2 + world.done["a"] / (learn.WINDOWS_FULL * takes)


@given(
    order=st.permutations("abcd"),
    states=st.lists(st.sampled_from(["", *ERRORS]), min_size=4, max_size=4),
    seconds=st.integers(0, 3600),
)
def test_one_that_is_in_order_is_always_found(order: list[str], states: list[str], seconds: int) -> None:
    now = BEGIN + timedelta(seconds=seconds)
    listed = [
        replace(Candidate(name), state=AccountState().after(ERRORS[kind], BEGIN) if kind else AccountState())
        for name, kind in zip(order, states, strict=True)
    ]
    found = choose(listed, "failover", now)
    fine = [one.name for one in listed if not one.state.is_out(now)]
    assert found.name == fine[0] if fine else found.name is None or not found.again_at
    assert set(found.passed_over) | {found.name} >= {one.name for one in listed if one.state.is_out(now)}
