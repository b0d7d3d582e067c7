"""The canonical requests: one model per mode, with the operators' parameter names.

The models hold what a request *is* (names and types). What a vendor's model accepts is in ``rules``,
what a vendor cannot express is in its file under ``vendors``.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, ValidationError

from airflow_provider_wan.client.errors import Violation, WanRequestError
from airflow_provider_wan.client.tasks import Mode
from airflow_provider_wan.client.urls import is_stored, shorten, unsigned


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("a boolean is not a number")
    return value


def _tier(value: Any) -> Any:
    return _writable(value.strip().upper()) if isinstance(value, str) else value


def _address(value: Any) -> Any:
    """Take the address of a medium as text: a path object or an ``ObjectStoragePath`` is what it says."""
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    elif not isinstance(value, str) and hasattr(value, "storage_options") and hasattr(value, "protocol"):
        value = str(value)
    return _writable(value)


def _address_or_none(value: Any) -> Any:
    return _blank_is_none(_address(value))


def _as_reference(value: Any) -> Any:
    value = _address(value)
    return {"url": value} if isinstance(value, str) else value


def _as_list(value: Any) -> Any:
    """Take a list as it comes out of a template or a table: JSON, one URL, or nothing."""
    value = _address(value)
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text.startswith(("[", "{")):
        try:
            found = json.loads(text)
        except ValueError:
            return value
        return found if isinstance(found, list) else [found]
    return [text] if text else []


def _blank_is_none(value: Any) -> Any:
    """A template that renders to nothing means "not given"."""
    return None if isinstance(value, str) and not value.strip() else _writable(value)


def _writable(value: Any) -> Any:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError("holds half of a surrogate pair, which no text has") from None
    return value


def _as_object(value: Any) -> Any:
    """Take an object as it comes out of a template: JSON, or nothing."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value) if value.strip() else {}
    except ValueError:
        return value


def _models(value: Any) -> Any:
    """Take one model, or one for each vendor, as they come out of a template or a table."""
    if isinstance(value, str) and value.strip().startswith("{"):
        try:
            value = json.loads(value)
        except ValueError:
            return value
    if not isinstance(value, dict):
        return _blank_is_none(value)
    if not value or not all(isinstance(item, str) and item.strip() for item in [*value, *value.values()]):
        raise ValueError("is a model, or a model for each vendor by its name")
    return {str(_writable(vendor)).strip(): str(_writable(model)).strip() for vendor, model in value.items()}


class Reference(BaseModel):
    """A reference image or clip, with an optional voice sample (audio URL) for its character."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    url: Annotated[str, BeforeValidator(_address)]
    voice: Annotated[str | None, BeforeValidator(_address_or_none)] = None


Integer = Annotated[int, BeforeValidator(_no_bool)]
Text = Annotated[str | None, BeforeValidator(_blank_is_none)]
Url = Annotated[str | None, BeforeValidator(_address_or_none)]
References = Annotated[list[Annotated[Reference, BeforeValidator(_as_reference)]], BeforeValidator(_as_list)]
Urls = Annotated[list[Annotated[str, BeforeValidator(_address)]], BeforeValidator(_as_list)]


class VideoRequest(BaseModel):
    """What all modes share.

    :param model: any model string, or one for each vendor by its name; the vendor's Wan 2.7 model of the mode when not
        given.
    :param resolution: tier, ``480P`` (Wan 3.0), ``720P`` or ``1080P``.
    :param duration: seconds of video; ``0`` keeps the length in an edit, ``-1`` lets Wan 3.0 choose.
    :param prompt_extend: whether the vendor rewrites the prompt.
    :param seed: 0 to 2147483647.
    :param generate_audio: Wan 3.0, whether the video has sound.
    :param webhook_url: passed to the vendor that takes one.
    :param extra_body: merged last and deeply into the vendor's body.
    :param strict: ``False`` turns documented limits into warnings.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), defer_build=True)

    mode: ClassVar[Mode]

    model: Annotated[str | dict[str, str] | None, BeforeValidator(_models)] = None
    prompt: Text = None
    negative_prompt: Text = None
    resolution: Annotated[str, BeforeValidator(_tier)] = "1080P"
    ratio: Text = None
    duration: Integer = 5
    prompt_extend: bool = True
    watermark: bool = False
    seed: Annotated[Integer | None, BeforeValidator(_blank_is_none)] = None
    generate_audio: Annotated[bool | None, BeforeValidator(_blank_is_none)] = None
    webhook_url: Url = None
    extra_body: Annotated[dict[str, Any], BeforeValidator(_as_object)] = Field(default_factory=dict)
    strict: bool = True

    def for_vendor(self, vendor: str) -> Self:
        """Return the request as it goes to one vendor: with its model, where there is one for each."""
        if not isinstance(self.model, dict):
            return self
        return self.model_copy(update={"model": self.model.get(vendor)})

    _contents: dict[str, str] = PrivateAttr(default_factory=dict)

    def with_contents(self, digests: Mapping[str, str]) -> Self:
        """Return the request, known by the contents of its media instead of by their addresses.

        :param digests: SHA-256 in hex, by address as it stands in the request.
        """
        copy = self.model_copy()
        copy._contents = dict(digests)
        return copy

    def with_addresses(self, addresses: Mapping[str, str]) -> Self:
        """Return the request with other addresses of the same media: it stays the same request."""

        def moved(value: Any) -> Any:
            if isinstance(value, list):
                return [moved(item) for item in value]
            if isinstance(value, Reference):
                return value.model_copy(update={"url": moved(value.url), "voice": moved(value.voice)})
            return addresses.get(value, value) if isinstance(value, str) else value

        names = {field.split("[")[0] for field, _ in media_urls(self)}
        copy = self.model_copy(update={name: moved(getattr(self, name)) for name in names})
        copy._contents = {addresses.get(url, url): digest for url, digest in self._contents.items()}
        return copy

    def _identified(self, value: Any) -> Any:
        """Return a field by what it holds: a digest where the content is known, else without signatures."""
        if isinstance(value, list):
            return [self._identified(item) for item in value]
        if isinstance(value, dict):
            return {name: self._identified(item) for name, item in value.items()}
        digest = self._contents.get(value) if isinstance(value, str) else None
        return f"sha256:{digest}" if digest else unsigned(value)

    def fingerprint(self, *account: str | None) -> str:
        """Return a digest of everything that decides what is made and who pays for it."""
        # What is not given is left out, so that a field that a later version adds changes no recorded digest.
        said = self.model_dump(mode="json", exclude={"strict", "webhook_url"}, exclude_none=True)
        content = {name: self._identified(value) for name, value in said.items() if value not in ([], {})}
        text = json.dumps([self.mode, content, account], sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


class TextToVideoRequest(VideoRequest):
    """A video from a prompt; ``audio_url`` is its sound."""

    mode = Mode.TEXT_TO_VIDEO

    audio_url: Url = None


class ImageToVideoRequest(VideoRequest):
    """A video that starts at ``first_frame`` (and may end at ``last_frame``) or continues ``first_clip``."""

    mode = Mode.IMAGE_TO_VIDEO

    first_frame: Url = None
    last_frame: Url = None
    first_clip: Url = None
    driving_audio: Url = None


class ReferenceToVideoRequest(VideoRequest):
    """A video with the characters of reference images and clips; Wan 3.0 also takes audio and documents."""

    mode = Mode.REFERENCE_TO_VIDEO

    reference_images: References = []
    reference_videos: References = []
    first_frame: Url = None
    reference_audios: Urls = []
    document: Url = None
    link: Url = None


class VideoEditRequest(VideoRequest):
    """``video`` changed as the prompt and the reference images say."""

    mode = Mode.VIDEO_EDIT

    video: Url = None
    reference_images: References = []
    audio_setting: Literal["auto", "origin"] | None = None


REQUEST_TYPES: dict[Mode, type[VideoRequest]] = {
    kind.mode: kind for kind in (TextToVideoRequest, ImageToVideoRequest, ReferenceToVideoRequest, VideoEditRequest)
}


def build_request(mode: Mode | str, fields: dict[str, Any]) -> VideoRequest:
    """Build the request of ``mode`` from plain fields.

    :raises WanRequestError: naming every field whose type or name is wrong.
    """
    try:
        kind = REQUEST_TYPES[Mode(mode)]
    except ValueError:
        known = ", ".join(Mode)
        raise WanRequestError(violations=[Violation("mode", f"is one of {known}", shorten(mode), hard=True)]) from None
    try:
        return kind.model_validate({name: value for name, value in fields.items() if value is not None})
    except ValidationError as error:
        wrong = [_violation(kind, item) for item in error.errors(include_url=False)]
    raise WanRequestError(violations=wrong)


def _violation(kind: type[VideoRequest], item: Any) -> Violation:
    field = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        known = ", ".join(name for name in kind.model_fields if name not in VideoRequest.model_fields)
        return Violation(
            field,
            f"is not a parameter of {kind.mode}",
            shorten(item["input"]),
            f"beside the common ones it has: {known or 'none'}",
            hard=True,
        )
    return Violation(field, item["msg"], shorten(item["input"]), hard=True)


_MEDIA_FIELDS = (
    "audio_url",
    "first_frame",
    "last_frame",
    "first_clip",
    "driving_audio",
    "video",
    "document",
    "link",
)


def media_urls(request: VideoRequest) -> list[tuple[str, str]]:
    """Return every media URL of the request with the name of its field."""
    found: list[tuple[str, str]] = []
    for name in _MEDIA_FIELDS:
        url = getattr(request, name, None)
        if url is not None:
            found.append((name, url))
    for name in ("reference_images", "reference_videos"):
        for index, item in enumerate(getattr(request, name, [])):
            found.append((f"{name}[{index}].url", item.url))
            if item.voice is not None:
                found.append((f"{name}[{index}].voice", item.voice))
    found += [(f"reference_audios[{n}]", url) for n, url in enumerate(getattr(request, "reference_audios", []))]
    return found


STAND_IN = "https://inputs.invalid/"
"""Where media stand while nothing but their presence is judged."""


def with_stand_ins(request: VideoRequest) -> VideoRequest:
    """Return the request with an address in the place of each path and storage URI, for rules that need one."""
    stored = [url for field, url in media_urls(request) if field != "link" and is_stored(url)]
    return request.with_addresses({url: f"{STAND_IN}{number}" for number, url in enumerate(stored)})
