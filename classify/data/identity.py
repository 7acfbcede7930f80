"""Hashes that name a data set, a part of it, and an order of its pictures."""

from __future__ import annotations

import json
from hashlib import sha256

import numpy as np

from cache.manifest import Manifest
from cache.storage.keys import KEY_BYTES


def digests(items: np.ndarray, seed: int) -> np.ndarray:
    """The first 8 bytes of SHA-256(seed || key), (n,) uint64: an order that no other picture influences."""
    prefix = sha256(f"{seed}:".encode())
    raw = items.tobytes()
    out = bytearray()
    for start in range(0, len(raw), KEY_BYTES):
        digest = prefix.copy()
        digest.update(raw[start : start + KEY_BYTES])
        out += digest.digest()[:8]
    return np.frombuffer(out, ">u8").astype(np.uint64)


def part_hash(manifest: Manifest, rows: np.ndarray) -> str:
    """SHA-256 (hex) over keys and class names of some rows, whatever their order and file names.

    Parameters
    ----------
    manifest : Manifest
        Hashed rows only.
    rows : (n,) bool mask, or int indices, of rows with a label
    """
    names = b"".join(
        sha256(name.encode("utf-8", "surrogateescape")).digest()[:8] for name in manifest.classes
    )
    by_class = np.frombuffer(names, np.uint8).reshape(-1, 8)
    table = np.hstack([manifest.key[rows], by_class[manifest.label[rows]]])
    items = np.sort(np.ascontiguousarray(table).view(f"S{table.shape[1]}").ravel())
    return sha256(items.tobytes()).hexdigest()


def data_hash(manifest: Manifest, part: np.ndarray) -> str:
    """SHA-256 over a data set's keys, labels and parts, whatever the order of its rows and its file names."""
    digest = sha256(json.dumps(manifest.classes).encode("ascii"))
    table = np.column_stack(
        [manifest.key, manifest.label.astype("<i4")[:, None].view(np.uint8), part.astype(np.uint8)]
    )
    digest.update(np.sort(np.ascontiguousarray(table).view(f"V{table.shape[1]}").ravel()).tobytes())
    return digest.hexdigest()
