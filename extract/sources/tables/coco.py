"""COCO's JSON with one category a picture -> the manifest of the pictures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from cache.errors import UserError
from cache.storage.rejects import Reject
from extract.sources.scan import Scan
from extract.sources.tables.rows import SOME, Rows, find_pictures

_AT = {"path": 0, "label": 1}


def is_coco(source: Path) -> bool:
    """Tell by its suffix whether a source is JSON; a folder may have any name."""
    return source.suffix.lower() == ".json" and not source.is_dir()


def read_coco(path: Path) -> Scan:
    """List the pictures in a file of COCO's format: `images`, `annotations` and `categories`.

    A picture's class is the category of its annotations. One whose annotations have several is a reject; one without
    any has no label. Where the pictures lie, `find_pictures` says.

    Raises
    ------
    UserError
        If the file is not of that kind, or none of its pictures exist.
    """
    said = _read(path)
    try:
        names = {each["id"]: str(each["name"]) for each in said["categories"]}
        images = [(each["id"], str(each["file_name"])) for each in said["images"]]
        found: dict[Any, set[str]] = {}
        for each in said["annotations"]:
            found.setdefault(each["image_id"], set()).add(names[each["category_id"]])
    except (KeyError, TypeError) as error:
        raise UserError(
            f"Expected images with id and file_name, categories with id and name, and annotations with image_id and "
            f"category_id in {path}, but one lacks or misses {error}. Export it again as COCO's JSON."
        ) from error
    if not images:
        raise UserError(f"Expected pictures in {path}, received an empty list of images. Export it again.")
    root, prefix, table = find_pictures(path, [name for _, name in images[:SOME]])
    rows, several = Rows(path, _AT, root=root, prefix=prefix, table=table), []
    for number, (key, name) in enumerate(images, 1):
        labels = sorted(found.get(key, ()))
        if len(labels) > 1:
            reason = f"{len(labels)} categories, the first {labels[0]} and {labels[1]}"
            several.append(Reject(None, prefix + name, reason, "scan"))
        else:
            rows.add([name, labels[0] if labels else ""], number)
    if len(several) == len(images):
        raise UserError(
            f"Expected one category a picture in {path}, received several in each. Such data sets are for detection; "
            "cut the boxes out as pictures of their own."
        )
    listed = rows.found()
    return replace(listed, rejects=[*several, *listed.rejects])


def _read(path: Path) -> dict[str, Any]:
    try:
        said = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"Expected COCO's JSON in {path}, but: {error}.") from error
    if not isinstance(said, dict) or not {"images", "annotations", "categories"} <= set(said):
        received = ", ".join(list(said)[:5]) if isinstance(said, dict) else type(said).__name__
        raise UserError(
            f"Expected images, annotations and categories in {path}, received {received or 'nothing'}. A .json file as "
            "a source is COCO's; other lists are read as .csv."
        )
    return said
