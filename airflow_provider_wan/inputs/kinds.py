"""What a file is, by its first bytes: its media type, and of an image its size and whether it has an alpha channel."""

from __future__ import annotations

import struct
from pathlib import PurePosixPath

HEAD = 512 * 1024
"""Bytes that are looked at: a camera's JPEG may begin with much that is not the picture."""

UNKNOWN = "application/octet-stream"
_STARTS: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"\x1a\x45\xdf\xa3", "video/webm"),
    (b"OggS", "audio/ogg"),
    (b"fLaC", "audio/flac"),
    (b"ID3", "audio/mpeg"),
    (b"%PDF", "document/pdf"),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
_BRANDS = {b"qt  ": "video/quicktime", b"M4A ": "audio/mp4", b"heic": "image/heic", b"avif": "image/avif"}
_OLD_BOXES = (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
"""How MOV files begin that are older than ``ftyp``."""
_OFFICE = {
    b"PK\x03\x04": ("docx", "xlsx", "pptx", "key", "pages", "numbers"),
    b"\xd0\xcf\x11\xe0": ("doc", "xls", "ppt"),
}


def kind_of(head: bytes, name: str) -> str:
    """Return the media type of a file.

    :param name: decides only between documents whose content looks the same.
    """
    for start, kind in _STARTS:
        if head.startswith(start):
            return kind
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12], UNKNOWN)
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "video/mp4")
    if head[4:8] in _OLD_BOXES:
        return "video/quicktime"
    if len(head) > 3 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2:
        return "audio/mpeg"
    suffix = PurePosixPath(name).suffix.lower().lstrip(".")
    for start, suffixes in _OFFICE.items():
        if head.startswith(start):
            return f"document/{suffix}" if suffix in suffixes else "application/zip"
    if not _is_text(head):
        return UNKNOWN
    if head.lstrip()[:9].lower().startswith((b"<!doctype", b"<html")):
        return "text/html"
    return f"document/{suffix}" if suffix in ("txt", "md") else "text/plain"


def _is_text(head: bytes) -> bool:
    if not head or b"\0" in head:
        return False
    try:
        # The last sign may be cut.
        head[:4096].decode("utf-8", "strict")
    except UnicodeDecodeError as error:
        return error.start > len(head[:4096]) - 4
    return True


def mime_of(kind: str) -> str:
    """Return the content type by which a file is uploaded."""
    if not kind.startswith("document/"):
        return kind
    suffix = kind.removeprefix("document/")
    return {"pdf": "application/pdf", "txt": "text/plain", "md": "text/markdown"}.get(suffix, UNKNOWN)


def picture_of(head: bytes, kind: str) -> tuple[int, int, bool] | None:
    """Return width, height and whether there is an alpha channel; ``None`` where the head does not say."""
    try:
        match kind:
            case "image/png":
                return _png(head)
            case "image/jpeg":
                return _jpeg(head)
            case "image/bmp":
                width, height = struct.unpack_from("<ii", head, 18)
                return abs(width), abs(height), False
            case "image/gif":
                width, height = struct.unpack_from("<HH", head, 6)
                return width, height, False
            case "image/webp":
                return _webp(head)
    except (struct.error, IndexError):
        return None
    return None


def _png(head: bytes) -> tuple[int, int, bool]:
    width, height, _, colour = struct.unpack_from(">IIBB", head, 16)
    # Grey or colours with an alpha channel of their own, or a palette with transparent entries.
    return width, height, colour in (4, 6) or b"tRNS" in head[: head.find(b"IDAT")]


_NO_FRAME = (0xC4, 0xC8, 0xCC)


def _jpeg(head: bytes) -> tuple[int, int, bool] | None:
    place = 2
    while place < len(head) - 9:
        if head[place] != 0xFF:
            return None
        marker = head[place + 1]
        if marker == 0xFF:
            place += 1
        elif 0xC0 <= marker <= 0xCF and marker not in _NO_FRAME:
            height, width = struct.unpack_from(">HH", head, place + 5)
            return width, height, False
        elif marker == 0x01 or 0xD0 <= marker <= 0xD8:
            place += 2
        else:
            place += 2 + struct.unpack_from(">H", head, place + 2)[0]
    return None


def _webp(head: bytes) -> tuple[int, int, bool] | None:
    match head[12:16]:
        case b"VP8 ":
            width, height = struct.unpack_from("<HH", head, 26)
            return width & 0x3FFF, height & 0x3FFF, False
        case b"VP8L":
            (bits,) = struct.unpack_from("<I", head, 21)
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, bool(bits >> 28 & 1)
        case b"VP8X":
            width = int.from_bytes(head[24:27], "little") + 1
            return width, int.from_bytes(head[27:30], "little") + 1, bool(head[20] & 0x10)
    return None
