"""One file of every kind that a folder of pictures can hold, friendly or hostile, made in memory."""

import io
import os
import socket
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, features

from extract.pictures.decoding import FORMATS


def scene(width: int = 60, height: int = 40, seed: int = 0) -> Image.Image:
    """Draw a smooth, asymmetric RGB picture: every turn and every crop of it is different."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    phase = np.random.default_rng(seed).uniform(0, 3, 3)
    planes = [x, y * y, np.sin(3 * x + 2 * y + phase[0])]
    pixels = np.stack(
        [127 + 120 * np.sin(2 * plane + phase) for plane, phase in zip(planes, phase, strict=True)], -1
    )
    return Image.fromarray(pixels.astype(np.uint8))


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    """Return the bytes of a file of this kind (a Pillow format name)."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(width: int, height: int, *chunks: tuple[bytes, bytes], depth: int = 8, colour: int = 2) -> bytes:
    """Build a PNG from its header's numbers and raw chunks, for what no encoder would write."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = [b"\x89PNG\r\n\x1a\n"]
    for name, body in ((b"IHDR", header), *chunks, (b"IEND", b"")):
        parts.append(struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)))
    return b"".join(parts)


def tiff(width: int, height: int, data: bytes, tile: int) -> bytes:
    """Build a grey TIFF of one deflated tile, for what no encoder would write."""
    tags = {
        256: width,
        257: height,
        258: 8,
        259: 8,
        262: 1,
        277: 1,
        322: tile,
        323: tile,
        324: 8,
        325: len(data),
    }
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return (
        struct.pack("<4sI", b"II*\0", 8 + len(data))
        + data
        + struct.pack("<H", len(tags))
        + entries
        + bytes(4)
    )


def with_segment(jpeg: bytes, marker: int, body: bytes) -> bytes:
    """Insert a marker segment in front of all others of a JPEG."""
    return jpeg[:2] + struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body + jpeg[2:]


def huge_webp(side: int) -> bytes:
    """Build an animated WEBP whose header promises side x side pixels around one small frame."""
    three = [struct.pack("<I", number)[:3] for number in (0, 0, 59, 39, 100)]
    frame = b"".join(three) + b"\0" + encode(scene(), "WEBP")[12:]
    riff = b"WEBPVP8X" + struct.pack("<I", 10) + b"\2\0\0\0" + struct.pack("<I", side - 1)[:3] * 2
    riff += b"ANIM" + struct.pack("<I", 6) + bytes(6) + b"ANMF" + struct.pack("<I", len(frame)) + frame
    return b"RIFF" + struct.pack("<I", len(riff)) + riff


def with_orientation(image: Image.Image, orientation: int, kind: str = "JPEG", **options: object) -> bytes:
    """Return a file whose EXIF says how to turn it."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(image, kind, exif=exif, **options)


def formats() -> dict[str, bytes]:
    """Return the same scene as one plain file of every allowed format."""
    image = scene()
    files = {
        "plain.jpg": encode(image, "JPEG", quality=95),
        "progressive.jpg": encode(image, "JPEG", quality=95, progressive=True),
        "plain.png": encode(image, "PNG"),
        "plain.bmp": encode(image, "BMP"),
        "plain.tif": encode(image, "TIFF"),
        "lzw.tif": encode(image, "TIFF", compression="tiff_lzw"),
        "plain.ppm": encode(image, "PPM"),
        "plain.gif": encode(image.quantize(256), "GIF"),
        "several.mpo": encode(image, "MPO", save_all=True, append_images=[scene(seed=1)], quality=95),
    }
    if features.check("webp"):
        files["plain.webp"] = encode(image, "WEBP", quality=95)
        files["lossless.webp"] = encode(image, "WEBP", lossless=True)
    if features.check("avif"):
        files["plain.avif"] = encode(image, "AVIF", quality=95)
    if "HEIF" in FORMATS:
        files["plain.heic"] = encode(image, "HEIF", quality=95)
        files["mif1.heif"] = files["plain.heic"].replace(b"ftypheic", b"ftypmif1")
    return files


def modes() -> dict[str, bytes]:
    """Return files in every colour mode, size and structure that must decode."""
    image, later = scene(), scene(seed=1)
    grey, ramp = image.convert("L"), np.linspace(0, 65535, 60 * 40).reshape(40, 60)
    alpha = image.copy()
    alpha.putalpha(Image.fromarray(np.tile(np.linspace(0, 255, 60).astype(np.uint8), (40, 1))))
    files = {
        "grey.jpg": encode(grey, "JPEG"),
        "cmyk.jpg": encode(image.convert("CMYK"), "JPEG", quality=95),
        "broken exif.jpg": encode(image, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff junk"),
        "broken mpo.jpg": with_segment(encode(image, "JPEG"), 0xE2, b"MPF\0II*\0\x08\0\0\0\xff\xff junk"),
        "two colours.png": encode(image.convert("1"), "PNG"),
        "grey.png": encode(grey, "PNG"),
        "grey tRNS.png": encode(grey, "PNG", transparency=int(np.asarray(grey)[0, 0])),
        "rgb tRNS.png": encode(image, "PNG", transparency=tuple(int(v) for v in np.asarray(image)[0, 0])),
        "palette.png": encode(image.quantize(16), "PNG"),
        "palette tRNS.png": encode(image.quantize(16), "PNG", transparency=bytes(range(0, 256, 16))),
        "alpha.png": encode(alpha, "PNG"),
        "grey alpha.png": encode(alpha.convert("LA"), "PNG"),
        "16 bit.png": encode(Image.fromarray(ramp.astype(np.uint16)), "PNG"),
        "16 bit rgb.png": png(2, 1, (b"IDAT", zlib.compress(b"\0" + b"\x80\0" * 6)), depth=16),
        "16 bit.tif": encode(Image.fromarray(ramp.astype(np.uint16)), "TIFF"),
        "16 bit big endian.tif": encode(Image.fromarray(ramp.astype(">u2")), "TIFF"),
        "16 bit.pgm": encode(Image.fromarray(ramp.astype(np.int32)), "PPM"),
        "32 bit of 16.tif": encode(Image.fromarray(ramp.astype(np.int32)), "TIFF"),
        "float 0 to 1.tif": encode(Image.fromarray((ramp / 65535).astype(np.float32)), "TIFF"),
        "lab.tif": encode(Image.new("LAB", (8, 8), (128, 128, 128)), "TIFF"),
        "cmyk.tif": encode(image.convert("CMYK"), "TIFF"),
        "tiles.tif": tiff(64, 64, zlib.compress(np.asarray(scene(64, 64).convert("L")).tobytes()), tile=64),
        "pages.tif": encode(image, "TIFF", save_all=True, append_images=[later]),
        "animation.png": encode(image, "PNG", save_all=True, append_images=[later]),
        "animation.gif": encode(image, "GIF", save_all=True, append_images=[later]),
        "see-through.gif": encode(image.quantize(16), "GIF", transparency=3),
        "black below.png": encode(Image.new("L", (60, 40)), "PNG"),
        "one pixel.png": encode(scene(1, 1), "PNG"),
        "wide.png": encode(scene(10_000, 1), "PNG"),
        "tall.jpg": encode(scene(1, 10_000), "JPEG"),
        "a jpeg in truth.png": encode(image, "JPEG"),
    }
    files |= {f"turned {n}.jpg": with_orientation(image, n, quality=95) for n in range(1, 9)}
    if features.check("webp"):
        files["alpha.webp"] = encode(alpha, "WEBP", lossless=True)
        files["animation.webp"] = encode(image, "WEBP", save_all=True, append_images=[later])
    if "HEIF" in FORMATS:
        files["grey.heic"] = encode(grey, "HEIF")
        files["alpha.heic"] = encode(alpha, "HEIF")
        files["tiles.heic"] = encode(scene(300, 200), "HEIF", tile_size=128)
        files["several.heic"] = encode(image, "HEIF", save_all=True, append_images=[later], quality=95)
    return files


def bad() -> dict[str, tuple[bytes, str]]:
    """Return files that must be rejected, each with a part of the reason to give."""
    image = scene()
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    bomb = zlib.compress(bytes(20_000_000), 1)
    pixels = zlib.compress(b"\0" * (3 * 60 + 1) * 40)
    deflated = zlib.compress(np.asarray(noise).tobytes() * 8)
    infinite = Image.fromarray(np.full((4, 4), np.nan, np.float32))
    files = {
        "empty.jpg": (b"", "empty"),
        "text.jpg": (b"this is not a picture\n", "no picture"),
        "page.png": (b"<html><body>404 Not Found</body></html>", "no picture"),
        "drawing.jpg": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "no picture"),
        "paper.jpg": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "no picture"),
        "archive.jpg": (b"PK\x03\x04" + bytes(60), "no picture"),
        "zeros.jpg": (bytes(5000), "no picture"),
        "start only.jpg": (encode(noise, "JPEG")[:20], "no picture"),
        "icon.ico": (encode(image, "ICO"), "no picture"),
        "huge header.png": (png(60_000, 60_000, (b"IDAT", pixels)), "too large: 60000 x 60000"),
        "huge.gif": (b"GIF89a" + struct.pack("<HH", 65535, 65535) + encode(image, "GIF")[10:], "too large"),
        "huge.ppm": (b"P6 100000 100000 255\n", "too large"),
        "huge tiles.tif": (tiff(64, 64, bomb, tile=60_000), "too large: tiles of 60000 x 60000"),
        "iccp bomb.png": (png(60, 40, (b"iCCP", b"x\0\0" + bomb), (b"IDAT", pixels)), "too large"),
        "ztxt bomb.png": (png(60, 40, (b"zTXt", b"x\0\0" + bomb), (b"IDAT", pixels)), "too large"),
        "no pixels.png": (png(60, 40, (b"IDAT", b"")), "truncated"),
        "25 of 100,000 rows.png": (
            png(60, 100_000, (b"IDAT", zlib.compress((b"\0" + b"\x7f" * 180) * 25))),
            "truncated: 4,525 bytes of pixels, expected 18,100,000",
        ),
        "broken pixels.png": (
            png(64, 64, (b"IDAT", deflated[:2000] + bytes(99) + deflated[2099:])),
            "damaged",
        ),
        "no width.png": (png(0, 0, (b"IDAT", pixels)), "damaged"),
        "loop.tif": (b"II*\0\x08\0\0\0\0\0\x08\0\0\0", "no picture"),
        "beyond 16 bit.tif": (
            encode(Image.fromarray(np.full((4, 4), 70_000, np.int32)), "TIFF"),
            "unknown brightness",
        ),
        "beyond 1.tif": (
            encode(Image.fromarray(np.full((4, 4), 3.5, np.float32)), "TIFF"),
            "unknown brightness",
        ),
        "not a number.tif": (encode(infinite, "TIFF"), "unknown brightness"),
    }
    if features.check("webp"):
        files["huge.webp"] = (huge_webp(12_000), "too large: 12000 x 12000")
    files |= {f"half {name}": (data, "") for name, data in halves()}
    return files


def halves() -> Iterator[tuple[str, bytes]]:
    """Yield the first half of one file of every format, of a scene that does not compress away."""
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    for kind in ("JPEG", "PNG", "BMP", "GIF", "TIFF", "PPM", "WEBP", "AVIF", "HEIF"):
        if kind in ("WEBP", "AVIF") and not features.check(kind.lower()):
            continue
        if kind == "HEIF" and kind not in FORMATS:
            continue
        data = encode(noise, kind)
        yield f"{kind.lower()}.{kind.lower()}", data[: len(data) // 2]
    data = encode(noise, "TIFF", compression="tiff_lzw")
    yield "lzw.tiff", data[: len(data) // 2]


def names() -> list[str]:
    """Return file names that are legal and break careless code (surrogates: non-UTF-8 bytes)."""
    odd = ["-rf", "--help.jpg", "new\nline.jpg", "tab\t.jpg", " spaces .jpg", "<b>&amp;.jpg", "no suffix"]
    return [
        *odd,
        "emoji \N{SUNFLOWER}.jpg",
        "e\u0301 composed.jpg",
        "quote\"'.jpg",
        os.fsdecode(b"latin \xe9\xff.jpg"),
    ]


def write_all(folder: Path) -> dict[str, str | None]:
    """Write every file into `folder`; return name -> None if it must decode, else part of the reason."""
    folder.mkdir(parents=True, exist_ok=True)
    expected: dict[str, str | None] = {}
    for name, data in (formats() | modes()).items():
        (folder / name).write_bytes(data)
        expected[name] = None
    for name, (data, reason) in bad().items():
        (folder / name).write_bytes(data)
        expected[name] = reason
    for number, name in enumerate(names()):
        (folder / name).write_bytes(encode(scene(seed=100 + number), "JPEG"))
        expected[name] = None
    return expected


def write_special(folder: Path) -> set[str]:
    """Put entries into `folder` that are no files and must never be opened; return their names."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dangling.jpg").symlink_to("nowhere.jpg")
    (folder / "circle.jpg").symlink_to("circle.jpg")
    os.mkfifo(folder / "pipe.jpg")
    (folder / "device.jpg").symlink_to("/dev/null")
    here = os.getcwd()  # a socket's path may have 108 bytes at most, less than a test folder's
    with socket.socket(socket.AF_UNIX) as listener:
        os.chdir(folder)
        try:
            listener.bind("socket.jpg")
        finally:
            os.chdir(here)
    return {"dangling.jpg", "circle.jpg", "pipe.jpg", "device.jpg", "socket.jpg"}
