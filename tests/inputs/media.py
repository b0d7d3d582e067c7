"""Small real media."""

from __future__ import annotations

import io
import wave

import av
from PIL import Image


def picture(kind: str = ".png", width: int = 320, height: int = 320, mode: str = "RGB", colour: object = 0) -> bytes:
    held = io.BytesIO()
    form = {".png": "PNG", ".jpg": "JPEG", ".webp": "WEBP", ".bmp": "BMP", ".gif": "GIF"}[kind]
    Image.new(mode, (width, height), colour).save(held, form)  # type: ignore[arg-type]
    return held.getvalue()


def clip(kind: str = ".mp4", width: int = 320, height: int = 240, seconds: float = 3.0, fps: int = 16) -> bytes:
    held = io.BytesIO()
    with av.open(held, "w", format=kind.lstrip(".")) as container:
        stream = container.add_stream("mpeg4", rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for _ in range(int(seconds * fps)):
            for packet in stream.encode(av.VideoFrame(width, height, "yuv420p")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return held.getvalue()


def sound(kind: str = ".wav", seconds: float = 3.0) -> bytes:
    held = io.BytesIO()
    with wave.open(held, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(b"\0\0" * int(8000 * seconds))
    return held.getvalue()
