"""Names the task instance that waits or looks, so that the tasks of others can be told from its own."""

from __future__ import annotations

import hashlib
from typing import Any

DIGEST_BYTES = 8
"""There are as many as tasks in flight, so it is kept small."""


def owner_of(task_instance: Any) -> str:
    """Return a short name, the same on the worker and in the triggerer and in each try; empty when it is not known.

    The iterations of a loop share it: they are not told apart here, so none of them is taken for another one.
    """
    if task_instance is None:
        return ""
    parts = [str(getattr(task_instance, name, None)) for name in ("dag_id", "run_id", "task_id", "map_index")]
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=DIGEST_BYTES).hexdigest()
