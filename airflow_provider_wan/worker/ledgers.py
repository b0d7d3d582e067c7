"""Where a task instance's submissions are recorded: objects of a storage, or Airflow's task state store."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import inspect
import json
import logging
import os
import uuid
from functools import cached_property
from typing import Any
from urllib.parse import quote

from airflow.sdk import ObjectStoragePath
from fsspec import AbstractFileSystem

from airflow_provider_wan.durable import Ledger, StateStore
from airflow_provider_wan.triggers.killed import CLEARS_DELETE_STATE, airflow_version

log = logging.getLogger(__name__)

NO_TASK_STATE = (
    "This Airflow keeps no task state (3.3 and newer do): a retry of this task may submit, and pay, again. Set "
    "ledger_path, or [wan] ledger_path, to record submissions as objects"
)
CLEARED = (
    "Nothing is recorded of the earlier tries of this task: a clear deletes task state on this Airflow. What they have "
    "paid for may be paid again now. To prevent that, tick 'keep task state' when clearing, or set ledger_path (or "
    "[wan] ledger_path), which no clear reaches"
)

CONFIG = ("wan", "ledger_path")
LONGEST_PART = 120
"""Characters of one part of a path, quoted: a file system takes 255 bytes."""

LOCAL = frozenset({"file", "local"})
CLAIMS = ".claims"
TURNS = ".turns"
"""No DAG's folder: the parts of a task instance's path never begin with a dot."""

_said: set[str] = set()
"""Storages of which was said that they cannot create exclusively."""


def store_for(context: Any, ledger_path: str | None) -> StateStore | None:
    """Return where the submissions of a task instance are recorded; ``None`` where this Airflow keeps nothing.

    :param ledger_path: an object-storage URI; the provider's setting ``[wan] ledger_path`` when not given.
    """
    root = str(ledger_path or configured_path() or "").strip()
    if root:
        return ObjectStore(root, parts_of(context))
    store: StateStore | None = context.get("task_state_store")
    return store


def configured_path() -> str | None:
    """Return the setting ``[wan] ledger_path``."""
    from airflow.providers.common.compat.sdk import conf

    path: str | None = conf.get(*CONFIG, fallback=None)
    return path


def survives_clear(store: StateStore | None) -> bool:
    """Whether no clear of the Airflow task reaches the record, on any Airflow."""
    return isinstance(store, ObjectStore)


def is_after_clear(ledger: Ledger, context: Any) -> bool:
    """Mark the start of an attempt; return whether a clear has deleted what earlier ones recorded (Airflow 3.4)."""
    return airflow_version() >= CLEARS_DELETE_STATE and ledger.begin(int(getattr(context["ti"], "try_number", 1) or 1))


def parts_of(context: Any) -> list[str]:
    """Return what names a task instance, and the iteration of it: the parts of its path."""
    ti = context["ti"]
    parts = [str(ti.dag_id), str(ti.run_id), str(ti.task_id), str(getattr(ti, "map_index", -1))]
    # An iterated task runs as many under one map index.
    inner = getattr(ti, "index", None) if is_iterated(context) else None
    # A loop counts from 0 or from 1, by version; it is the same number in each attempt.
    loop = context.get("loop")
    turn = getattr(loop, "index", None) if loop is not None else None
    return parts + [f"{name}-{value}" for name, value in (("loop", turn), ("item", inner)) if value is not None]


def is_iterated(context: Any) -> bool:
    """Whether the task runs as one of many in one process (``.iterate()``), where a deferral fails them all."""
    return any(kind.__name__ == "IndexedTaskInstance" for kind in type(context["ti"]).__mro__)


def quoted(part: str) -> str:
    """Return a part of a path that every storage takes, different for different parts."""
    text = quote(part, safe="")
    if text.startswith("."):
        text = f"%2E{text[1:]}"
    if len(text) <= LONGEST_PART:
        return text
    return f"{text[:LONGEST_PART]}~{hashlib.sha256(part.encode()).hexdigest()[:16]}"


class ObjectStore:
    """Values as JSON objects in one folder; creating one that is there already fails.

    :param root: object-storage URI, with its connection id as usual.
    :param parts: what the folder below it is named by.
    """

    def __init__(self, root: str, parts: list[str]) -> None:
        self._root = ObjectStoragePath(root)
        self._parts = [quoted(part) for part in parts]
        self._claims_as = self._parts
        self._proofs: set[bool] = set()
        """Whether the storage creates exclusively, once it was asked; the parts of a task share it."""
        self.title = f"the ledger at {root.rstrip('/')}/{'/'.join(self._parts)}"

    def get(self, key: str) -> Any:
        """Return the value or ``None``."""
        return self._load(self._path(key))

    def set(self, key: str, value: Any) -> None:
        """Keep the value, whole or not at all."""
        path, content = self._path(key), _dump(value)
        if not self._is_local:
            self._fs.pipe_file(path, content)
            return
        with self._beside(path, content) as part:
            os.replace(part, path)

    def delete(self, key: str) -> None:
        """Forget the value."""
        with contextlib.suppress(FileNotFoundError):
            self._fs.rm_file(self._path(key))

    def create(self, key: str, value: Any) -> bool:
        """Keep the value unless there is one; return whether it was kept."""
        path, content = self._path(key), _dump(value)
        if not self._create(path, content):
            # A repeat below, of a writing whose answer was lost, is refused because of ourselves.
            return bool(self._load(path) == value)
        if not self._proofs:
            self._proofs.add(self._is_exclusive(path, content))
        if False in self._proofs:
            self._say_shared()
        return True

    def keys(self, prefix: str) -> list[str]:
        """Return the keys that begin with ``prefix``."""
        names = self._names_in(self._path(""))
        return [name.removesuffix(".json") for name in names if name.startswith(prefix) and name.endswith(".json")]

    # -- whose task is it -----------------------------------------------------------------------------

    def claim(self, vendor: str, task_id: str) -> bool:
        """Put a task down as this folder's; return whether it is."""
        path = self._claim_path(vendor, task_id)
        return self._create(path, _dump({"owner": self._claims_as})) or self._owner(path) == self._claims_as

    def is_claimed(self, vendor: str, task_id: str) -> bool:
        """Whether another one has put the task down as its own."""
        owner = self._owner(self._claim_path(vendor, task_id))
        return owner is not None and owner != self._claims_as

    def for_part(self, name: str) -> ObjectStore:
        """Return the same folder as seen by one part of the task, as an item of a batch is."""
        part = copy.copy(self)
        part._claims_as = [*self._parts, quoted(name)]
        return part

    def _claim_path(self, vendor: str, task_id: str) -> str:
        return f"{self._base}/{CLAIMS}/{quoted(vendor)}/{quoted(task_id)}.json"

    def _owner(self, path: str) -> list[str] | None:
        value = self._load(path)
        owner: list[str] | None = value.get("owner") if isinstance(value, dict) else None
        return owner

    # -- whose turn is it -----------------------------------------------------------------------------

    def take_turn(self, account: str, number: int) -> bool:
        """Take a turn to submit; return whether it was free."""
        return self._create(f"{self._turns_of(account)}/{number}.json", _dump({"owner": self._parts}))

    def turns(self, account: str) -> list[int]:
        """Return the turns of an account that are taken."""
        names = [name.removesuffix(".json") for name in self._names_in(self._turns_of(account))]
        return [int(name) for name in names if name.isascii() and name.isdigit()]

    def drop_turns(self, account: str, numbers: list[int]) -> None:
        """Forget turns that have passed; another worker may do so at the same time."""
        for number in numbers:
            with contextlib.suppress(FileNotFoundError):
                self._fs.rm_file(f"{self._turns_of(account)}/{number}.json")

    def _turns_of(self, account: str) -> str:
        return f"{self._base}/{TURNS}/{quoted(account)}"

    # -- the storage ----------------------------------------------------------------------------------

    @cached_property
    def _fs(self) -> AbstractFileSystem:
        return self._root.fs

    @cached_property
    def _base(self) -> str:
        return str(self._root.path).rstrip("/")

    @property
    def _is_local(self) -> bool:
        return self._root.protocol in LOCAL

    def _path(self, key: str) -> str:
        folder = "/".join([self._base, *self._parts])
        return f"{folder}/{key}.json" if key else folder

    def _names_in(self, folder: str) -> list[str]:
        # A worker's file system remembers listings, also those from before somebody else wrote.
        self._fs.invalidate_cache()
        try:
            return [str(name).rstrip("/").rsplit("/", 1)[-1] for name in self._fs.ls(folder, detail=False)]
        except FileNotFoundError:
            return []

    def _load(self, path: str) -> Any:
        try:
            content = self._fs.cat_file(path)
        except FileNotFoundError:
            return None
        return json.loads(content)

    def _create(self, path: str, content: bytes) -> bool:
        try:
            if not self._is_local:
                self._fs.pipe_file(path, content, mode="create")
                return True
            with self._beside(path, content) as part:
                # Unlike opening exclusively and then writing, it is there with its content or not at all.
                os.link(part, path)
        except FileExistsError:
            return False
        except OSError as error:
            # S3 answers 412 to the second one, which not each version of its file system translates.
            if "PreconditionFailed" in repr(error) or "ConditionalRequestConflict" in repr(error):
                return False
            raise
        return True

    @contextlib.contextmanager
    def _beside(self, path: str, content: bytes) -> Any:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        part = f"{path}.{uuid.uuid4().hex[:8]}.part"
        try:
            with open(part, "wb") as file:
                file.write(content)
            yield part
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(part)

    def _is_exclusive(self, path: str, content: bytes) -> bool:
        """Whether the storage refuses to create what is there: asked of it, for some heed the wish and some do not."""
        if self._is_local:
            return True
        kind = type(self._fs)
        write = getattr(kind, "_pipe_file", None) or kind.pipe_file
        if write is AbstractFileSystem.pipe_file or "mode" not in inspect.signature(write).parameters:
            return False
        return not self._create(path, content)

    def _say_shared(self) -> None:
        place = f"{self._root.protocol}://"
        if place not in _said:
            _said.add(place)
            log.warning(
                "The storage of ledger_path (%s) cannot create an object exclusively: retries, crashes and clears are "
                "safe, but two workers that run the same task instance at the same moment may both submit",
                place,
            )


def _dump(value: Any) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True).encode()
