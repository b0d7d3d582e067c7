"""Sizes in pixels of a tier and a ratio, as Alibaba's pages of Wan 2.1 to 2.6 have them, and by their rule."""

from __future__ import annotations

import math
import re

SIZES: dict[str, dict[str, tuple[int, int]]] = {
    "480P": {"16:9": (832, 480), "9:16": (480, 832), "1:1": (624, 624)},
    "720P": {
        "16:9": (1280, 720),
        "9:16": (720, 1280),
        "1:1": (960, 960),
        "4:3": (1088, 832),
        "3:4": (832, 1088),
    },
    "1080P": {
        "16:9": (1920, 1080),
        "9:16": (1080, 1920),
        "1:1": (1440, 1440),
        "4:3": (1632, 1248),
        "3:4": (1248, 1632),
    },
}
"""https://help.aliyun.com/zh/model-studio/text-to-video-api-reference"""

STEP = 16
"""Pixels: both sides of what is not in the table are a multiple of it, as the open weights want them."""

DEFAULT_RATIO = "16:9"
_RATIO = re.compile(r"([1-9]\d?):([1-9]\d?)")
_SIZE = re.compile(r"([1-9]\d{1,4})x([1-9]\d{1,4})")


def size_of(tier: str, ratio: str | None) -> str | None:
    """Return ``WIDTHxHEIGHT``: other ratios than the table's have about the pixels of 16:9; ``None`` for no size."""
    sizes = SIZES.get(tier)
    if sizes is None:
        return None
    size = sizes.get(ratio or DEFAULT_RATIO)
    if size is None:
        found = _RATIO.fullmatch(ratio or "")
        if found is None or not 1 / 4 <= int(found[1]) / int(found[2]) <= 4:
            return None
        wide, high = int(found[1]), int(found[2])
        pixels = math.prod(sizes[DEFAULT_RATIO])
        size = (_rounded(math.sqrt(pixels * wide / high)), _rounded(math.sqrt(pixels * high / wide)))
    return f"{size[0]}x{size[1]}"


def tier_and_ratio_of(size: object) -> tuple[str | None, str | None]:
    """Return the tier and the ratio of a size that is in the table."""
    found = _SIZE.fullmatch(size) if isinstance(size, str) else None
    wanted = (int(found[1]), int(found[2])) if found else None
    pairs = ((tier, ratio) for tier, sizes in SIZES.items() for ratio, known in sizes.items() if known == wanted)
    return next(pairs, (None, None))


def _rounded(side: float) -> int:
    return max(STEP, round(side / STEP) * STEP)
