"""Reads request bodies by the vendors' field tables, and names the first field that breaks them."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from airflow_provider_wan.sandbox.front.answers import Refusal
from airflow_provider_wan.sandbox.video.picture import is_image_data_url

RATIOS = ("16:9", "9:16", "1:1", "4:3", "3:4")
SEED_MAX = 2_147_483_647

# Every field name that some model or vendor documents. At the gateways one of these where it is not documented is a
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


class Complaints:
    """What is wrong with one body: the first misfit ends the reading, or all are gathered for a late check."""

    def __init__(self, *, gather: bool = False) -> None:
        self._gather = gather
        self.found: list[Refusal] = []

    def add(self, refusal: Refusal) -> None:
        """Note a misfit; raises it unless misfits are gathered."""
        if not self._gather:
            raise refusal
        self.found.append(refusal)

    @property
    def text(self) -> str:
        """All reasons, joined as DashScope joins them."""
        return " & ".join(refusal.late or refusal.message for refusal in self.found)


class Reader:
    """A JSON object of a request, read field by field; a misfit is a ``Refusal`` (400) that names the field."""

    def __init__(
        self,
        data: Mapping[str, Any],
        where: str = "",
        *,
        code: str = "InvalidParameter",
        complaints: Complaints | None = None,
    ) -> None:
        self._data = data
        self._where = where
        self._code = code
        self._complaints = complaints or Complaints()
        self._read: set[str] = set()

    def name(self, key: str) -> str:
        """Return the dotted path of a field."""
        return f"{self._where}.{key}" if self._where else key

    def wrong(self, key: str, rule: str, late: str | None = None) -> Refusal:
        """Return the refusal for one field; ``late`` is the rule in the words of a late check, without the field."""
        text = f"{self.name(key)} {rule}"
        return Refusal(400, self._code, text, field=self.name(key), late=late or text)

    def missing(self, key: str) -> Refusal:
        """Return the refusal for a field that is not there."""
        text = f"Field required: {self.name(key)}. Required parameter({self.name(key)}) missing or invalid."
        return Refusal(400, self._code, text, field=self.name(key), late=f"Field required: {self._path(key)}")

    def complain(self, refusal: Refusal) -> None:
        """Note a misfit; raises it unless misfits are gathered."""
        self._complaints.add(refusal)

    def get(self, key: str) -> Any:
        """Return a raw value and count it as documented; JSON null is the same as absent."""
        self._read.add(key)
        return self._data.get(key)

    def text(self, key: str, *, required: bool = False, longest: int | None = None) -> str | None:
        """Return a string."""
        value = self.get(key)
        if value is None or value == "":
            if required:
                self.complain(self.missing(key))
            return None
        if not isinstance(value, str):
            self._misfit(key, f"must be a string, got {value!r:.60}", "Input should be a valid string")
            return None
        if longest is not None and len(value) > longest:
            self.complain(self.wrong(key, f"must have at most {longest} characters, got {len(value)}"))
        return value

    def integer(
        self, key: str, least: int, most: int, *, default: int | None = None, also: Collection[int] = ()
    ) -> int | None:
        """Return an integer from ``least`` to ``most``, or one of ``also``."""
        value = self.get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int):
            self._misfit(key, f"must be an integer, got {value!r:.60}", "Input should be a valid integer")
            return default
        if not (least <= value <= most or value in also):
            others = "".join(f"{item} or " for item in also)
            bound = f"greater than or equal to {least}" if value < least else f"less than or equal to {most}"
            late = f"Input should be {bound}: {self._path(key)}"
            if key == "duration":
                late = f"Duration should be between {least} and {most}"
            self.complain(self.wrong(key, f"must be {others}from {least} to {most}, got {value}", late))
            return default
        return value

    def flag(self, key: str) -> bool | None:
        """Return a boolean."""
        value = self.get(key)
        if value is not None and not isinstance(value, bool):
            self._misfit(key, f"must be a boolean, got {value!r:.60}", "Input should be a valid boolean")
            return None
        return value

    def choice(self, key: str, values: Collection[str], *, default: str | None = None) -> str | None:
        """Return one of ``values``."""
        value = self.get(key)
        if value is None:
            return default
        if not isinstance(value, str) or value not in values:
            rule = f"must be one of {', '.join(values)}, got {value!r:.60}"
            self._misfit(key, rule, f"Input should be {_either(values)}")
            return default
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
            self._misfit(key, f"must be a URL string, got {value!r:.60}", "Input should be a valid string")
            return ""
        complaint = check(value)
        if complaint:
            # What stands in brackets is for people; the vendor says only the rule.
            late = complaint.removeprefix("is wrong: ").partition(" (")[0]
            self.complain(self.wrong(key, complaint, late if complaint.startswith("is wrong: ") else None))
        return value

    def object(self, key: str) -> Reader:
        """Return a nested object, an empty one when absent."""
        value = self.get(key)
        if value is not None and not isinstance(value, dict):
            self._misfit(key, "must be an object", "Input should be a valid dictionary")
            value = None
        return Reader(value or {}, self.name(key), code=self._code, complaints=self._complaints)

    def items(self, key: str) -> list[Any]:
        """Return a list, an empty one when absent."""
        value = self.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            self._misfit(key, "must be an array", "Input should be a valid list")
            return []
        return value

    def objects(self, key: str) -> list[Reader]:
        """Return a list of objects."""
        readers = []
        for index, item in enumerate(self.items(key)):
            name = f"{key}[{index}]"
            if not isinstance(item, dict):
                self._misfit(name, "must be an object", "Input should be a valid dictionary")
                continue
            readers.append(Reader(item, self.name(name), code=self._code, complaints=self._complaints))
        return readers

    def allow(self, *keys: str) -> None:
        """Count fields as documented without reading them."""
        self._read.update(keys)

    def rest(self, *, strict: bool, misplaced: bool = True) -> tuple[str, ...]:
        """Return the names that are not documented here.

        Raises for all of them when ``strict``, and when ``misplaced`` for those that are documented elsewhere.
        """
        left = [key for key in self._data if key not in self._read and self._data[key] is not None]
        for key in left:
            if strict or (misplaced and key in KNOWN):
                rule = f"{self.name(key)} is not a parameter of this model"
                raise Refusal(400, self._code, rule, field=self.name(key))
        return tuple(self.name(key) for key in left)

    def _path(self, key: str) -> str:
        """Return the path of a field as late checks write it: ``input.media.0.url``."""
        return _INDEX.sub(r".\1", self.name(key))

    def _misfit(self, key: str, rule: str, late: str) -> None:
        self.complain(self.wrong(key, rule, f"{late}: {self._path(key)}"))


_INDEX = re.compile(r"\[(\d+)\]")


def _either(values: Collection[str]) -> str:
    *others, last = [f"'{value}'" for value in values]
    return f"{', '.join(others)} or {last}" if others else last


_WEB = re.compile(r"https?://[^\s/?#]+", re.IGNORECASE)


def web_url(url: str) -> str | None:
    """Complain unless ``url`` is http or https."""
    return None if _WEB.match(url) else "is not an http or https URL"


def web_or_image(url: str) -> str | None:
    """Complain unless ``url`` is http, https or an image data URL."""
    if _WEB.match(url) or is_image_data_url(url):
        return None
    return "is neither an http(s) URL nor a Base64 image data URL"


def common_rest(readers: list[Reader], *, strict: bool, misplaced: bool = True) -> tuple[str, ...]:
    """Return the undocumented names of several objects of one body."""
    return tuple(name for reader in readers for name in reader.rest(strict=strict, misplaced=misplaced))
