"""Which stored files the gallery may read: an XCom can name any file that the API server can open; pure but for links.

Whoever writes a DAG writes XComs, and the API server's own files are not theirs to read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

OBJECT_STORES = frozenset({"s3", "s3a", "s3n", "gs", "gcs", "abfs", "abfss", "az", "wasb", "wasbs", "oss", "r2"})
"""Schemes that are read where ``[wan] gallery_roots`` is empty."""
LOCAL = frozenset({"file", "local"})
LONGEST = 2_048
_UNWANTED = re.compile(r"[\x00-\x1f\x7f\\?#]|::")


class RefusedPlace(Exception):
    """The place is none that the gallery reads; the message is for people and repeats nothing of the place."""


@dataclass(frozen=True)
class Place:
    """A storage address in its parts; ``user`` is Airflow's connection id."""

    scheme: str
    user: str
    host: str
    path: str

    @property
    def is_local(self) -> bool:
        """Whether it is a file of the API server's own machine."""
        return self.scheme in LOCAL

    @property
    def uri(self) -> str:
        """Return the address as ``ObjectStoragePath`` takes it."""
        if self.is_local:
            return f"file://{self.path}"
        return f"{self.scheme}://{f'{self.user}@' if self.user else ''}{self.host}{self.path}"


def roots_of(text: str) -> tuple[Place, ...]:
    """Read the setting ``[wan] gallery_roots``: storage addresses, separated by commas or lines.

    :raises RefusedPlace: for an entry that is no storage address.
    """
    return tuple(_parsed(entry.strip()) for entry in re.split(r"[,\n]", text) if entry.strip())


def allowed(uri: str, roots: Sequence[Place]) -> Place:
    """Return the place that ``uri`` names, when the gallery may read it.

    :param roots: what may be read; where there is none, any bucket of an object store, and nothing local.
    :raises RefusedPlace: otherwise.
    """
    place = _parsed(uri)
    if not place.path.strip("/"):
        raise RefusedPlace("names no file")
    if place.is_local:
        # A link inside a root must not lead out of it; what is read later is what was checked.
        place = Place(place.scheme, "", "", os.path.realpath(place.path))
    if roots:
        if not any(_is_below(place, root) for root in roots):
            raise RefusedPlace("lies outside of [wan] gallery_roots")
    elif place.scheme not in OBJECT_STORES:
        raise RefusedPlace("is in no object store; a place like this has to be named in [wan] gallery_roots")
    return place


def _parsed(uri: str) -> Place:
    if not isinstance(uri, str) or not uri or len(uri) > LONGEST or _UNWANTED.search(uri):
        raise RefusedPlace("is no storage address")
    try:
        parts = urlsplit(uri if "://" in uri else f"file://{uri}")
        user, _, host = parts.netloc.rpartition("@")
    except ValueError:
        raise RefusedPlace("is no storage address") from None
    scheme = parts.scheme.lower()
    if any(part == ".." for part in re.split(r"/", unquote(unquote(parts.path)))) or ":" in user or ":" in host:
        raise RefusedPlace("is no plain storage address")
    if scheme in LOCAL:
        if host not in ("", "localhost") or not parts.path.startswith("/"):
            raise RefusedPlace("is no absolute path")
        return Place(scheme, "", "", parts.path)
    if not host:
        raise RefusedPlace("names no bucket")
    return Place(scheme, user, host, parts.path)


def _is_below(place: Place, root: Place) -> bool:
    if place.is_local != root.is_local or (not place.is_local and place.scheme != root.scheme):
        return False
    if place.host != root.host or (root.user and place.user != root.user):
        return False
    base = os.path.realpath(root.path) if root.is_local else root.path
    return place.path.startswith(f"{base.rstrip('/')}/")
