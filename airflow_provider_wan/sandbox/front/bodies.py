"""Reads request bodies by the vendors' field tables, and names the first field that breaks them."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from airflow_provider_wan.sandbox.front.answers import Refusal
from airflow_provider_wan.sandbox.video.picture import is_image_data_url

RATIOS = ("16:9", "9:16", "1:1", "4:3", "3:4")
SEED_MAX = 2_147_483_647

# Every field name that some model or vendor documents. One of these in a body where it is not documented is a
# misrouted parameter and is refused; a name that nobody documents is ignored, as the real APIs do.
KNOWN = frozenset(
    (
        "model",
        "prompt",
        "negative_prompt",
        "media",
        "audio_url",
        "img_url",
        "image_url",
        "image_urls",
        "image_with_roles",
        "video_url",
        "video_urls",
        "reference_urls",
        "reference_video_urls",
        "reference_voice",
        "first_frame_url",
        "last_frame_url",
        "start_image_url",
        "end_image_url",
        "resolution",
        "ratio",
        "aspect_ratio",
        "size",
        "duration",
        "seconds",
        "seed",
        "watermark",
        "prompt_extend",
        "audio",
        "audio_setting",
        "shot_type",
        "generate_audio",
        "additional_settings",
        "webhook_url",
        "template",
        "mode",
        "function",
    )
)


class Reader:
    """A JSON object of a request, read field by field; every misfit raises ``Refusal`` (400) naming the field."""

    def __init__(self, data: Mapping[str, Any], where: str = "", *, code: str = "InvalidParameter") -> None:
        self._data = data
        self._where = where
        self._code = code
        self._read: set[str] = set()

    def name(self, key: str) -> str:
        """Return the dotted path of a field."""
        return f"{self._where}.{key}" if self._where else key

    def wrong(self, key: str, rule: str) -> Refusal:
        """Return the refusal for one field."""
        return Refusal(400, self._code, f"{self.name(key)} {rule}", field=self.name(key))

    def missing(self, key: str) -> Refusal:
        """Return the refusal for a field that is not there."""
        text = f"Field required: {self.name(key)}. Required parameter({self.name(key)}) missing or invalid."
        return Refusal(400, self._code, text, field=self.name(key))

    def get(self, key: str) -> Any:
        """Return a raw value and count it as documented; JSON null is the same as absent."""
        self._read.add(key)
        return self._data.get(key)

    def text(self, key: str, *, required: bool = False, longest: int | None = None) -> str | None:
        """Return a string."""
        value = self.get(key)
        if value is None or value == "":
            if required:
                raise self.missing(key)
            return None
        if not isinstance(value, str):
            raise self.wrong(key, f"must be a string, got {value!r:.60}")
        if longest is not None and len(value) > longest:
            raise self.wrong(key, f"must have at most {longest} characters, got {len(value)}")
        return value

    def integer(
        self, key: str, least: int, most: int, *, default: int | None = None, also: Collection[int] = ()
    ) -> int | None:
        """Return an integer from ``least`` to ``most``, or one of ``also``."""
        value = self.get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.wrong(key, f"must be an integer, got {value!r:.60}")
        if not (least <= value <= most or value in also):
            others = "".join(f"{item} or " for item in also)
            raise self.wrong(key, f"must be {others}from {least} to {most}, got {value}")
        return value

    def flag(self, key: str) -> bool | None:
        """Return a boolean."""
        value = self.get(key)
        if value is not None and not isinstance(value, bool):
            raise self.wrong(key, f"must be a boolean, got {value!r:.60}")
        return value

    def choice(self, key: str, values: Collection[str], *, default: str | None = None) -> str | None:
        """Return one of ``values``."""
        value = self.get(key)
        if value is None:
            return default
        if value not in values:
            raise self.wrong(key, f"must be one of {', '.join(values)}, got {value!r:.60}")
        return str(value)

    def url(self, key: str, check: Callable[[str], str | None], *, required: bool = False) -> str | None:
        """Return a URL that ``check`` has nothing to say against."""
        value = self.text(key, required=required)
        if value is not None:
            self.judge(key, value, check)
        return value

    def judge(self, key: str, value: Any, check: Callable[[str], str | None]) -> str:
        """Return ``value`` if it is a URL that ``check`` has nothing to say against."""
        if not isinstance(value, str):
            raise self.wrong(key, f"must be a URL string, got {value!r:.60}")
        complaint = check(value)
        if complaint:
            raise self.wrong(key, complaint)
        return value

    def object(self, key: str) -> Reader:
        """Return a nested object, an empty one when absent."""
        value = self.get(key)
        if value is not None and not isinstance(value, dict):
            raise self.wrong(key, "must be an object")
        return Reader(value or {}, self.name(key), code=self._code)

    def items(self, key: str) -> list[Any]:
        """Return a list, an empty one when absent."""
        value = self.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.wrong(key, "must be an array")
        return value

    def objects(self, key: str) -> list[Reader]:
        """Return a list of objects."""
        readers = []
        for index, item in enumerate(self.items(key)):
            if not isinstance(item, dict):
                raise self.wrong(f"{key}[{index}]", "must be an object")
            readers.append(Reader(item, f"{self.name(key)}[{index}]", code=self._code))
        return readers

    def allow(self, *keys: str) -> None:
        """Count fields as documented without reading them."""
        self._read.update(keys)

    def rest(self, *, strict: bool) -> tuple[str, ...]:
        """Return the names that nobody documents; raises for names that belong elsewhere."""
        left = [key for key in self._data if key not in self._read and self._data[key] is not None]
        for key in left:
            if key in KNOWN or strict:
                raise self.wrong(key, "is not a parameter of this model")
        return tuple(self.name(key) for key in left)


_WEB = re.compile(r"https?://[^\s/?#]+", re.IGNORECASE)


def web_url(url: str) -> str | None:
    """Complain unless ``url`` is http or https."""
    return None if _WEB.match(url) else "is not an http or https URL"


def web_or_image(url: str) -> str | None:
    """Complain unless ``url`` is http, https or an image data URL."""
    if _WEB.match(url) or is_image_data_url(url):
        return None
    return "is neither an http(s) URL nor a Base64 image data URL"


def common_rest(readers: list[Reader], *, strict: bool) -> tuple[str, ...]:
    """Return the undocumented names of several objects of one body."""
    return tuple(name for reader in readers for name in reader.rest(strict=strict))
