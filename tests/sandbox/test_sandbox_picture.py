from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import av
import pytest

from airflow_provider_wan.sandbox.video.picture import PIXELS, data_url_size, ratio_of, size_of
from airflow_provider_wan.sandbox.video.render import render

from .conftest import probe

RATIOS = ("adaptive", "21:9", "16:9", "9:16", "1:1", "4:3", "3:4")
AREAS = {"480P": 832 * 480, "720P": 1280 * 720, "1080P": 1920 * 1080}


@pytest.mark.parametrize("tier", AREAS)
@pytest.mark.parametrize("ratio", RATIOS)
def test_every_tier_and_ratio_has_an_even_size_near_its_tier(tier: str, ratio: str) -> None:
    width, height = size_of(tier, ratio)
    assert width % 2 == height % 2 == 0
    assert width * height == pytest.approx(AREAS[tier], rel=0.06)
    wide, high = (16, 9) if ratio == "adaptive" else map(int, ratio.split(":"))
    assert width / height == pytest.approx(wide / high, rel=0.06)


def test_documented_sizes() -> None:
    assert size_of("720P", "4:3") == (1104, 832)
    assert size_of("1080P", "3:4") == (1248, 1648)
    # The image-to-video page's own example.
    assert size_of("720P", None, (750, 1000)) == (816, 1104)
    assert size_of("1080P", None) == (1920, 1080)
    assert {ratio_of(size) for size in PIXELS.values()} == {"16:9", "9:16", "1:1", "4:3", "3:4"}


def test_size_of_inline_images(png: bytes) -> None:
    assert data_url_size("data:image/png;base64," + base64.b64encode(png).decode()) == (300, 600)
    assert data_url_size("data:image/png;base64,AAAA") is None
    assert data_url_size("https://media.example.com/a.png") is None


def job(path: Path, width: int, height: int, seconds: float, prompt: str = "A boat") -> dict[str, Any]:
    return {
        "path": str(path),
        "width": width,
        "height": height,
        "seconds": seconds,
        "prompt": prompt,
        "lines": ["text_to_video · wan2.7-t2v", "a1b2c3"],
    }


@pytest.mark.parametrize(
    ("size", "seconds"), [((1920, 1080), 2), ((832, 1104), 3), ((624, 624), 15), ((160, 90), 30), ((960, 400), 5)]
)
def test_video_is_exact_in_size_and_length_and_starts_playing_at_once(
    tmp_path: Path, size: tuple[int, int], seconds: int
) -> None:
    path = tmp_path / "v.mp4"
    render(job(path, *size, seconds))
    content = path.read_bytes()
    assert probe(content) == (*size, seconds, "h264", "yuv420p")
    assert content.index(b"moov") < content.index(b"mdat")
    assert len(content) < 1_000_000


def pixels(path: Path) -> list[Any]:
    with av.open(str(path)) as container:
        return [frame.to_image() for frame in container.decode(video=0)]


def test_prompt_is_in_the_picture_and_the_bar_moves(tmp_path: Path) -> None:
    one, other = tmp_path / "1.mp4", tmp_path / "2.mp4"
    render(job(one, 640, 360, 2, "A paper boat sails down a rainy street at dusk " * 30))
    render(job(other, 640, 360, 2, ""))
    frames, blank = pixels(one), pixels(other)

    def bright(image: Any, box: tuple[int, int, int, int]) -> int:
        return sum(image.crop(box).convert("L").point(lambda value: 255 * (value > 200)).histogram()[255:])

    text, bar = (0, 50, 640, 250), (0, 334, 640, 342)
    assert bright(frames[0], text) > 2 * bright(blank[0], text)
    moves = [bright(frame, bar) for frame in frames]
    assert moves == sorted(moves)
    assert moves[0] < moves[12] < moves[23]
