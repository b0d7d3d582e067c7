"""Draws test cards and encodes them; runs as a process of its own (``python -m … render``) that takes jobs on stdin.

One JSON job per line in, one JSON answer per line out; it ends with its input, so it cannot outlive the sandbox.
"""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

FPS = 12
# Limited-range luma of the progress bar's track and of its filled part; both are grey, so only luma moves.
_TRACK, _FILL = 60, 235


def main() -> None:
    """Serve jobs until stdin closes."""
    os.nice(10)
    for line in sys.stdin:
        job = json.loads(line)
        try:
            render(job)
            answer: dict[str, Any] = {"ok": True}
        except Exception as error:  # noqa: BLE001 - the parent turns it into an HTTP 500 with this text
            answer = {"ok": False, "error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def render(job: dict[str, Any]) -> None:
    """Write ``job["path"]``: an MP4 (H.264, yuv420p, index first) of exactly the asked size and length."""
    import av

    width, height = job["width"], job["height"]
    frames = max(1, round(job["seconds"] * FPS))
    partial = job["path"] + ".part"
    with av.open(partial, "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.thread_count = 1
        stream.time_base = Fraction(1, FPS)
        stream.options = {"preset": "ultrafast", "crf": "28", "tune": "stillimage"}
        for number, frame in enumerate(_frames(job, width, height, frames)):
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            for packet in stream.encode(frame):
                # Each frame lasts one tick; without this the muxer drops the last one's length.
                packet.duration = 1
                container.mux(packet)
        for packet in stream.encode(None):
            packet.duration = 1
            container.mux(packet)
    os.replace(partial, job["path"])


def _frames(job: dict[str, Any], width: int, height: int, frames: int) -> Iterator[Any]:
    """Yield the card with its progress bar filling; the card is converted once, each frame copies its planes."""
    import av

    frame_type: Any = av.VideoFrame
    still = frame_type.from_image(_card(job, width, height)).reformat(format="yuv420p")
    planes = [bytearray(bytes(plane)) for plane in still.planes]
    luma, line = planes[0], still.planes[0].line_size
    top, bottom = _bar(height)
    for number in range(frames):
        filled = max(1, round(width * (number + 1) / frames))
        row = bytes([_FILL]) * filled + bytes([_TRACK]) * (width - filled)
        for y in range(top, bottom):
            luma[y * line : y * line + width] = row
        frame = av.VideoFrame(width, height, "yuv420p")
        if [plane.line_size for plane in frame.planes] != [plane.line_size for plane in still.planes]:
            raise RuntimeError("frame layout changed between frames of one size")
        for plane, data in zip(frame.planes, planes, strict=True):
            plane.update(bytes(data))
        yield frame


def _bar(height: int) -> tuple[int, int]:
    thick = max(2, height // 40)
    return height - 3 * thick, height - 2 * thick


def _card(job: dict[str, Any], width: int, height: int) -> Any:
    """Draw the still picture: what was asked, by whom, and under which id."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (width, height), (40, 42, 46))
    draw = ImageDraw.Draw(image)
    _stripes(draw, width, height // 8)
    margin, big, small = width // 20, max(10, min(width, height) // 18), max(8, min(width, height) // 30)
    y = height // 8 + margin // 2
    columns = max(8, int((width - 2 * margin) / (big * 0.55)))
    bottom = height - height // 6 - small * (len(job["lines"]) + 1)
    for line in textwrap.wrap(job["prompt"] or "(no prompt)", columns):
        if y + big > bottom:
            draw.text((margin, y), "…", fill=(255, 255, 255), font=_font(big))
            break
        draw.text((margin, y), line, fill=(255, 255, 255), font=_font(big))
        y += int(big * 1.3)
    y = height - height // 8 - int(small * 1.35) * len(job["lines"])
    for line in job["lines"]:
        draw.text((margin, y), line, fill=(180, 190, 200), font=_font(small))
        y += int(small * 1.35)
    # The bar's strip must be grey in colour too, for its frames change luma only.
    top, low = _bar(height)
    draw.rectangle((0, top - top % 2, width, low + 1), fill=(50, 50, 50))
    return image


def _stripes(draw: Any, width: int, height: int) -> None:
    colours = ("#bfbfbf", "#bfbf00", "#00bfbf", "#00bf00", "#bf00bf", "#bf0000", "#0000bf")
    for index, colour in enumerate(colours):
        left = width * index // len(colours)
        draw.rectangle((left, 0, width * (index + 1) // len(colours), height), fill=colour)


def _font(size: int) -> Any:
    """Return a font that has Chinese where the machine has one, Pillow's own otherwise."""
    from PIL import ImageFont

    for name in ("NotoSansCJK-Regular.ttc", "wqy-microhei.ttc", "PingFang.ttc", "msyh.ttc"):
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return ImageFont.load_default(size)


if __name__ == "__main__":
    main()
