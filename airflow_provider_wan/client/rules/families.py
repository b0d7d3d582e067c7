"""The families of Wan models, and their limits as a table.

Sources: Alibaba Model Studio's API references of Wan 2.7 and of Wan 3.0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

CLASSIC_RATIOS = ("16:9", "9:16", "1:1", "4:3", "3:4")


class Family(StrEnum):
    """Groups of models that share their rules."""

    WAN_2_7 = "wan2.7"
    WAN_3_0 = "wan3.0"
    OTHER = "other"


def family_of(model: str) -> Family:
    """Return the family a model's name belongs to; snapshots (``wan2.7-t2v-2026-04-25``) belong to theirs."""
    return next((family for prefix, family in _PREFIXES if re.match(rf"{prefix}(-|$)", model)), Family.OTHER)


_PREFIXES = ((r"wan2\.7", Family.WAN_2_7), ("wan-2-7", Family.WAN_2_7), (r"wan3\.0", Family.WAN_3_0))


@dataclass(frozen=True)
class Limits:
    """The documented limits of one family; lengths in characters, durations in seconds."""

    prompt_max: int
    negative_prompt_max: int
    resolutions: tuple[str, ...]
    ratios: tuple[str, ...]
    seed_min: int
    edit_images_max: int
    has_generate_audio: bool


LIMITS = {
    Family.WAN_2_7: Limits(5000, 500, ("720P", "1080P"), CLASSIC_RATIOS, 0, 4, False),
    Family.WAN_3_0: Limits(20_000, 0, ("480P", "720P", "1080P"), (*CLASSIC_RATIOS, "21:9", "adaptive"), -1, 10, True),
}
