"""The images that models take: which format one has, and how large it is, by its first bytes."""

from __future__ import annotations

import re
import struct

# Bedrock's limit on the width and on the height of an image.
MAX_PIXELS = 8000

# The markers of a JPEG's frames, which say how large it is.
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def format_of(data: bytes) -> str | None:
    """`png`, `jpeg`, `gif` or `webp`; None if it is another file. What the file says of itself does not count."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    return "webp" if re.match(rb"RIFF....WEBP", data, re.DOTALL) else None


def dimensions(data: bytes, format: str) -> tuple[int, int]:
    """Width and height in pixels; zeros if they are not found."""
    try:
        match format:
            case "png":
                return struct.unpack_from(">II", data, 16)
            case "gif":
                return struct.unpack_from("<HH", data, 6)
            case "jpeg":
                return of_jpeg(data)
            case _:
                return of_webp(data)
    except (struct.error, IndexError):
        return 0, 0


def of_jpeg(data: bytes) -> tuple[int, int]:
    at = 2
    while data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        length, = struct.unpack_from(">H", data, at + 2)
        if marker in FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        at += 2 + length
    return 0, 0


def of_webp(data: bytes) -> tuple[int, int]:
    match data[12:16]:
        case b"VP8X":
            width, height = (int.from_bytes(data[at:at + 3], "little") + 1 for at in (24, 27))
        case b"VP8L":
            bits, = struct.unpack_from("<I", data, 21)
            width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8 ":
            width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
        case _:
            return 0, 0
    return width, height
