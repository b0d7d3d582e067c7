"""The operators: one per mode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from airflow_provider_wan.client.tasks import Mode
from airflow_provider_wan.operators.base import WanVideoOperator

ReferenceLike = str | dict[str, str]
"""A URL, or ``{"url": …, "voice": …}``."""


class WanTextToVideoOperator(WanVideoOperator):
    """Make a video from a prompt; all other parameters are those of :class:`WanVideoOperator`.

    :param prompt: what the video shows (required).
    :param audio_url: its sound: WAV or MP3, 2 to 30 s.
    """

    mode = Mode.TEXT_TO_VIDEO
    media_fields = ("audio_url",)
    template_fields = (*WanVideoOperator.template_fields, *media_fields)

    def __init__(self, *, prompt: str, audio_url: str | None = None, **kwargs: Any) -> None:
        super().__init__(prompt=prompt, **kwargs)
        self.audio_url = audio_url
        self._check_literals()


class WanImageToVideoOperator(WanVideoOperator):
    """Make a video that starts at an image or continues a clip.

    :param first_frame: image the video starts with.
    :param last_frame: image it ends with.
    :param first_clip: clip (2 to 10 s) it continues; ``duration`` is then the total length.
    :param driving_audio: WAV or MP3, 2 to 30 s, that the motion follows.
    """

    mode = Mode.IMAGE_TO_VIDEO
    media_fields = ("first_frame", "last_frame", "first_clip", "driving_audio")
    template_fields = (*WanVideoOperator.template_fields, *media_fields)

    def __init__(
        self,
        *,
        first_frame: str | None = None,
        last_frame: str | None = None,
        first_clip: str | None = None,
        driving_audio: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.first_frame = first_frame
        self.last_frame = last_frame
        self.first_clip = first_clip
        self.driving_audio = driving_audio
        self._check_literals()


class WanReferenceToVideoOperator(WanVideoOperator):
    """Make a video with the characters of reference images and clips, named "Image 1", "Video 1" in the prompt.

    :param prompt: what the video shows (required).
    :param reference_images: URLs, or ``{"url": …, "voice": …}`` with a voice sample (audio URL).
    :param reference_videos: likewise; together with the images 1 to 5.
    :param first_frame: image the video starts with.
    :param reference_audios: audio URLs (Wan 3.0).
    :param document: URL of a document (Wan 3.0).
    :param link: public web page (Wan 3.0).
    """

    mode = Mode.REFERENCE_TO_VIDEO
    media_fields = ("reference_images", "reference_videos", "first_frame", "reference_audios", "document", "link")
    template_fields = (*WanVideoOperator.template_fields, *media_fields)
    template_fields_renderers = WanVideoOperator.template_fields_renderers | {
        "reference_images": "json",
        "reference_videos": "json",
        "reference_audios": "json",
    }

    def __init__(
        self,
        *,
        prompt: str,
        reference_images: Sequence[ReferenceLike] | str | None = None,
        reference_videos: Sequence[ReferenceLike] | str | None = None,
        first_frame: str | None = None,
        reference_audios: Sequence[str] | str | None = None,
        document: str | None = None,
        link: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(prompt=prompt, **kwargs)
        self.reference_images = reference_images
        self.reference_videos = reference_videos
        self.first_frame = first_frame
        self.reference_audios = reference_audios
        self.document = document
        self.link = link
        self._check_literals()


class WanVideoEditOperator(WanVideoOperator):
    """Change a video as the prompt and the reference images say.

    :param video: the video to edit (required): MP4 or MOV, 2 to 10 s.
    :param reference_images: up to 4 image URLs.
    :param audio_setting: ``auto``, or ``origin`` to keep the original sound.

    ``duration=0`` keeps the video's length; the default cuts it to 5 seconds.
    """

    mode = Mode.VIDEO_EDIT
    media_fields = ("video", "reference_images", "audio_setting")
    template_fields = (*WanVideoOperator.template_fields, *media_fields)
    template_fields_renderers = WanVideoOperator.template_fields_renderers | {"reference_images": "json"}

    def __init__(
        self,
        *,
        video: str,
        reference_images: Sequence[ReferenceLike] | str | None = None,
        audio_setting: Literal["auto", "origin"] | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.video = video
        self.reference_images = reference_images
        self.audio_setting = audio_setting
        self._check_literals()
