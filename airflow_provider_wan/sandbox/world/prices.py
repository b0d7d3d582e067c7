"""What a second of video costs at each vendor, for the ledger; written independently of the provider's own table.

DashScope: help.aliyun.com/zh/model-studio/model-pricing (June 2026; Wan 3.0 and HappyHorse: October 2026).
PowerTokens: its own app's list (2026-10-05). GCCAI publishes only "from 0.0664" for one model; its other rows are
assumed, since its finished tasks must name a cost. What no source names has no price here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

BEIJING, SINGAPORE = "cn-beijing", "ap-southeast-1"


@dataclass(frozen=True, slots=True)
class Price:
    """The price of one second."""

    amount: Decimal
    currency: str


@dataclass(frozen=True, slots=True)
class _Row:
    """Prices of the models whose names begin with a pattern, by tier; ``region`` is empty where all pay the same."""

    vendor: str
    region: str
    model: re.Pattern[str]
    currency: str
    tiers: dict[str, str]
    silent: bool | None = None


def _row(vendor: str, region: str, model: str, currency: str, prices: str, silent: bool | None = None) -> _Row:
    """Return a row; ``prices`` are those of 480P, 720P and 1080P, ``-`` where the tier is not sold."""
    tiers = zip(("480P", "720P", "1080P"), prices.split(), strict=True)
    return _Row(vendor, region, re.compile(model), currency, {tier: p for tier, p in tiers if p != "-"}, silent)


# The first row that fits decides.
ROWS = (
    _row("dashscope", BEIJING, r"wan3\.0-video-prime", "CNY", "0.45 0.90 1.80"),
    _row("dashscope", BEIJING, r"wan3\.0-video", "CNY", "0.30 0.60 1.20"),
    _row("dashscope", BEIJING, r"wan2\.7-(t2v|i2v|r2v|videoedit)", "CNY", "- 0.60 1.00"),
    _row("dashscope", BEIJING, r"wan2\.6-(i2v|r2v)-flash", "CNY", "- 0.15 0.25", silent=True),
    _row("dashscope", BEIJING, r"wan2\.6-(i2v|r2v)-flash", "CNY", "- 0.30 0.50"),
    _row("dashscope", BEIJING, r"wan2\.6-(t2v|i2v|r2v)$", "CNY", "- 0.60 1.00"),
    _row("dashscope", BEIJING, r"wan2\.5-(t2v|i2v)-preview", "CNY", "0.30 0.60 1.00"),
    _row("dashscope", BEIJING, r"wan2\.2-(t2v|i2v)-plus", "CNY", "0.14 - 0.70"),
    _row("dashscope", BEIJING, r"wan2\.2-(i2v|kf2v)-flash", "CNY", "0.10 0.20 0.48"),
    _row("dashscope", BEIJING, r"happyhorse-1\.1-(t2v|i2v|r2v)", "CNY", "0.45 0.90 1.20"),
    _row("dashscope", SINGAPORE, r"wan3\.0-video-prime", "USD", "0.068 0.14 0.28"),
    _row("dashscope", SINGAPORE, r"wan3\.0-video", "USD", "0.05 0.10 0.20"),
    _row("dashscope", SINGAPORE, r"wan2\.7-(t2v|i2v|r2v|videoedit)", "USD", "- 0.10 0.15"),
    _row("dashscope", SINGAPORE, r"happyhorse-1\.1-(t2v|i2v|r2v)", "USD", "0.07 0.14 0.18"),
    _row("dashscope", SINGAPORE, r"happyhorse-1\.0", "USD", "- 0.14 0.24"),
    _row("powertokens", "", r"wan3\.0-video-prime", "USD", "0.068 0.14 0.28"),
    _row("powertokens", "", r"wan3\.0-video", "USD", "0.05 0.10 0.20"),
    _row("gccai", "", r"wan2\.7", "USD", "- 0.0664 0.0996"),
    _row("gccai", "", r"wan", "USD", "0.05 0.0664 0.0996"),
)


def price_of(vendor: str, region: str, model: str, tier: str, *, silent: bool = False) -> Price | None:
    """Return the price of a second, ``None`` where no source names one."""
    for row in ROWS:
        fits = row.vendor == vendor and row.region in ("", region) and row.silent in (None, silent)
        if fits and row.model.match(model):
            amount = row.tiers.get(tier)
            return None if amount is None else Price(Decimal(amount), row.currency)
    return None
