"""The ways in which tasks are waited for, by name; imported one at a time, so that each pays for itself only."""

from __future__ import annotations

from importlib import import_module

from benchmarks.contenders.base import Contender

# name -> (module, class, vendor it talks to, what it is)
KNOWN: dict[str, tuple[str, str, str, str]] = {
    "sdk threads": ("sdk_threads", "SdkThreads", "dashscope", "official SDK, `VideoSynthesis.wait()`, a thread each"),
    "blocking": ("blocking", "Blocking", "dashscope", "a trigger each, blocking call on the loop (openai's style)"),
    "to_thread": ("threaded", "Threaded", "dashscope", "a trigger each, `to_thread`, 5 errors borne (common-ai's)"),
    "HttpSensor": ("http_provider", "Sensor", "dashscope", "deferrable `HttpSensor`, then an `HttpOperator`"),
    "HttpEvent": ("http_provider", "Event", "dashscope", "`HttpEventTrigger` each: async calls, a response check"),
    "wan": ("ours", "TaskTriggers", "dashscope", "`WanTaskTrigger` each, on the shared poller, with task list"),
    "wan, 19/s": ("ours", "TaskTriggers", "dashscope", "the same with `queries_per_second` at 19 instead of 17"),
    "wan, no list": ("ours", "TaskTriggers", "gccai", "the same at a vendor without a task list"),
    "wan batch": ("ours", "BatchTrigger", "dashscope", "one `WanBatchTrigger` for all"),
    "floor": ("floor", "Sleepers", "dashscope", "triggers that sleep: what the machine and asyncio cost"),
}


def contender(name: str) -> Contender:
    """Import and make one contender."""
    module, kind, _, _ = KNOWN[name]
    made: Contender = getattr(import_module(f"benchmarks.contenders.{module}"), kind)()
    return made


def vendor_of(name: str) -> str:
    return KNOWN[name][2]


def meaning_of(name: str) -> str:
    return KNOWN[name][3]


def budget_of(name: str) -> int:
    """Queries per second of the contender's `wan` connection; the vendor allows 20, DashScope's default is 17."""
    return 19 if name.endswith("19/s") else 17
