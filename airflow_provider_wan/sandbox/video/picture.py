"""How large a video is: pixel tables of the vendor's pages, and what inputs say about the shape."""

from __future__ import annotations

import base64
import binascii
import io
import math
import re

# help.aliyun.com/zh/model-studio/text-to-video-api-reference (Wan 2.7); 480P is the older families' table.
PIXELS: dict[tuple[str, str], tuple[int, int]] = {
    ("480P", "16:9"): (832, 480),
    ("480P", "9:16"): (480, 832),
    ("480P", "1:1"): (624, 624),
    ("720P", "16:9"): (1280, 720),
    ("720P", "9:16"): (720, 1280),
    ("720P", "1:1"): (960, 960),
    ("720P", "4:3"): (1104, 832),
    ("720P", "3:4"): (832, 1104),
    ("1080P", "16:9"): (1920, 1080),
    ("1080P", "9:16"): (1080, 1920),
    ("1080P", "1:1"): (1440, 1440),
    ("1080P", "4:3"): (1648, 1248),
    ("1080P", "3:4"): (1248, 1648),
}
_AREA = {"480P": 832 * 480, "720P": 1280 * 720, "1080P": 1920 * 1080}
_DATA_URL = re.compile(r"data:image/[a-zA-Z0-9.+-]+;base64,")
_HEAD_CHARACTERS = 256 * 1024  # enough of an image to find its size; the rest is not decoded

Size = tuple[int, int]


def size_of(tier: str, ratio: str | None, like: Size | None = None) -> Size:
    """Return (width, height) for a tier and a ratio, or for a tier and the shape of an input picture."""
    if ratio is None or ratio == "adaptive":
        return _near(tier, *like) if like else PIXELS[tier, "16:9"]
    if (tier, ratio) in PIXELS:
        return PIXELS[tier, ratio]
    wide, high = ratio.split(":")
    return _near(tier, int(wide), int(high))


def _near(tier: str, wide: int, high: int) -> Size:
    """Keep the shape and come near the tier's pixel count with sides that are multiples of 16, as the i2v page says."""
    area = _AREA[tier]
    width = math.floor(math.sqrt(area * wide / high) / 16) * 16
    height = math.floor(math.sqrt(area * high / wide) / 16) * 16
    return max(width, 64), max(height, 64)


def tier_of(size: Size) -> str:
    """Return the tier whose pixel count is nearest."""
    area = size[0] * size[1]
    return min(_AREA, key=lambda tier: abs(_AREA[tier] - area))


def ratio_of(size: Size) -> str:
    """Return the named ratio of a pixel size, or the reduced fraction when no table names it."""
    for (_, ratio), pixels in PIXELS.items():
        if pixels == size:
            return ratio
    divisor = math.gcd(*size)
    return f"{size[0] // divisor}:{size[1] // divisor}"


def is_image_data_url(url: str) -> bool:
    """Tell whether ``url`` carries a Base64 image."""
    return _DATA_URL.match(url) is not None


def image_size(data: bytes) -> Size | None:
    """Return the pixel size of an image, ``None`` when it cannot be read."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.size
    except Exception:  # noqa: BLE001 - any decoder may raise anything on foreign bytes; no size is a fine answer
        return None


def video_seconds(data: bytes) -> float | None:
    """Return the length of a video in seconds, ``None`` when it cannot be read."""
    import av

    try:
        with av.open(io.BytesIO(data), "r") as container:
            return container.duration / 1e6 if container.duration else None
    except Exception:  # noqa: BLE001 - any decoder may raise anything on foreign bytes; no length is a fine answer
        return None


def data_url_size(url: str) -> Size | None:
    """Return the pixel size of the image inside a data URL, ``None`` when it cannot be read."""
    start = _DATA_URL.match(url)
    if start is None:
        return None
    head = url[start.end() : start.end() + _HEAD_CHARACTERS]
    try:
        return image_size(base64.b64decode(head[: len(head) // 4 * 4]))
    except (binascii.Error, ValueError):
        return None
