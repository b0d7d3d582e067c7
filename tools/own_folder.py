"""Folders that two runs in one checkout never share."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path


@contextmanager
def own_folder(base: Path, name: str) -> Iterator[Path]:
    """The first of `name-1`, `name-2`, ... in `base` that no living process uses; held until the block is left."""
    base.mkdir(parents=True, exist_ok=True)
    for number in count(1):
        folder = base / f"{name}-{number}"
        with (base / f"{folder.name}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            folder.mkdir(exist_ok=True)
            yield folder
            return
