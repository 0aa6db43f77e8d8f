"""Makes files as people upload them: whole ones, which any viewer opens."""

from __future__ import annotations

import struct
import zlib

PAGE = (595, 842)


def png(width: int = 1, height: int = 1) -> bytes:
    """A black image."""
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * (width + 1) * height))
            + chunk(b"IEND", b""))


def pdf(line: str) -> bytes:
    """A page with a line of ASCII, without parentheses and backslashes."""
    shown = f"BT /F 18 Tf 60 {PAGE[1] - 80} Td ({line}) Tj ET".encode("ascii")
    objects = [b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
               b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 %d %d]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>" % PAGE,
               b"<</Length %d>>stream\n%s\nendstream" % (len(shown), shown),
               b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"]
    # The bytes behind the version tell programs that the file is not a text.
    file, offsets = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", []
    for number, it in enumerate(objects, 1):
        offsets.append(len(file))
        file += b"%d 0 obj\n%s\nendobj\n" % (number, it)
    table = b"".join(b"%010d 00000 n \n" % it for it in offsets)
    return file + b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (
        len(offsets) + 1, table, len(offsets) + 1, len(file))
