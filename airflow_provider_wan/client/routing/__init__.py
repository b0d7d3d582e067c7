"""Which of several accounts is given the next paid call.

In: what is known of each account, and the moment; out: one of them, or why there is none and when to ask again. Pure:
nothing here sends, waits, stores or looks at a clock, so that each decision can be tried with a virtual one.
"""

from __future__ import annotations

from airflow_provider_wan.client.routing import learn
from airflow_provider_wan.client.routing.choice import Candidate, Choice, Prefer, Route, choose
from airflow_provider_wan.client.routing.state import AccountState, Trouble, trouble_of

__all__ = ["AccountState", "Candidate", "Choice", "Prefer", "Route", "Trouble", "choose", "learn", "trouble_of"]
