"""Plant copies of photographs beside them, and count which are told as copies, and what else is joined.

    python benchmarks/copies.py flowers/

Thresholds were set on one half of the pictures (`--half 0`); the figures of the guide are of the other.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

sys.path.insert(0, str(Path(__file__).parents[1]))

from cache.workspace import Workspace
from classify.data.neighbours.near_duplicates import groups
from extract.backbones.backbone import Backbone
from extract.commands.extract import extract
from extract.embedding.progress import bar
from extract.embedding.thumbnails import thumbnails_of
from extract.settings import Decoding, Options

Turn = Image.Transpose


def inner(picture: Image.Image, cut: float) -> Image.Image:
    """Cut this share off each side."""
    x, y = round(picture.width * cut), round(picture.height * cut)
    return picture.crop((x, y, picture.width - x, picture.height - y))


def corner(picture: Image.Image) -> Image.Image:
    """Cut 10 % off two sides."""
    return picture.crop((0, 0, round(picture.width * 0.9), round(picture.height * 0.9)))


KINDS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "JPEG quality 50": lambda picture: picture,
    "resized by 0.8": lambda picture: picture.resize((picture.width * 8 // 10, picture.height * 8 // 10)),
    "brightness + 10 %": lambda picture: ImageEnhance.Brightness(picture).enhance(1.1),
    "mirrored": lambda picture: picture.transpose(Turn.FLIP_LEFT_RIGHT),
    "grey": lambda picture: picture.convert("L"),
    "turned by 90 degrees": lambda picture: picture.transpose(Turn.ROTATE_90),
    "turned by 180 degrees": lambda picture: picture.transpose(Turn.ROTATE_180),
    "turned by 270 degrees": lambda picture: picture.transpose(Turn.ROTATE_270),
    "turned by 3 degrees": lambda picture: picture.rotate(3, Image.Resampling.BICUBIC),
    "5 % cropped from each side": lambda picture: inner(picture, 0.05),
    "the same, grey, turned by 90 degrees": lambda p: inner(p, 0.05).transpose(Turn.ROTATE_90).convert("L"),
    "10 % cropped from one corner": corner,
    "turned by 10 degrees": lambda picture: picture.rotate(10, Image.Resampling.BICUBIC),
    "10 % cropped from each side": lambda picture: inner(picture, 0.1),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="a folder of class folders of JPEG files")
    parser.add_argument("--copies", type=int, default=150, help="pictures of which copies are made")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--half", type=int, choices=(0, 1), default=1)
    asked = parser.parse_args()
    files = sorted(asked.folder.rglob("*.jpg"))
    order = np.random.default_rng(asked.seed).permutation(len(files))
    cut = len(files) // 2
    chosen = (order[cut:] if asked.half else order[:cut])[: asked.copies]
    with tempfile.TemporaryDirectory() as place:
        for number, make in enumerate(KINDS.values()):
            folder = Path(place) / "planted" / f"{number:02d}"
            folder.mkdir(parents=True)
            for row in chosen:
                with Image.open(files[row]) as picture:
                    copy = make(picture.convert("RGB"))
                copy.save(folder / f"{row}.jpg", quality=90 if number else 50)
        report(Workspace(Path(place) / "w"), asked.folder, Path(place) / "planted", files)


def report(workspace: Workspace, folder: Path, planted: Path, files: list[Path]) -> None:
    """Print a row for each kind of copy."""
    for source in (folder, planted):
        backbone, progress = Backbone.of("efficientnet_lite0"), bar(print)
        extract(
            workspace, source, backbone, Decoding(), Options(), name=source.resolve().name, progress=progress
        )
    data, copies = workspace.load(folder.resolve().name), workspace.load("planted")
    thumbnails, rows = thumbnails_of(workspace, data.space), data.embedding[:, data.top]
    own = groups(data.manifest.key, rows, thumbnails)
    print(f"{len(data.manifest):,} pictures: {own.candidates:,} pairs compared, {len(own.pairs)} joined")
    place = {path: row for row, path in enumerate(data.manifest.paths)}
    origin = np.array(
        [place[files[int(Path(p).stem)].relative_to(folder).as_posix()] for p in copies.manifest.paths]
    )
    print("| made-up copy | n | found | wrongly joined |\n|---|---|---|---|")
    for code, kind in enumerate(KINDS):
        some = np.flatnonzero(copies.manifest.label == code)
        key = np.concatenate([data.manifest.key, copies.manifest.key[some]])
        found = groups(key, np.concatenate([rows, copies.embedding[some, copies.top]]), thumbnails)
        shown = np.concatenate([np.arange(len(data.manifest)), origin[some]])  # which photograph a row shows
        told = (found.group[len(data.manifest) :] == found.group[origin[some]]).sum()
        wrong = np.diff(own.group[shown[found.pairs]], axis=1) != 0
        print(f"| {kind} | {len(some)} | {told} | {wrong.sum()} |", flush=True)


if __name__ == "__main__":
    main()
