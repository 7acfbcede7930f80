"""What `export` may be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from cache.commands.options import Common, File
from classify.commands.options import Run, Trust

KINDS = ("keras", "savedmodel", "tflite", "onnx", "saved-head")


@dataclass(frozen=True, kw_only=True)
class ExportOptions(Common):
    """What `export` may be told."""

    to: Annotated[str, Parameter(choices=KINDS, show_choices=False)]
    """keras, savedmodel (TensorFlow), tflite (phones), onnx; saved-head: the head alone, from embeddings"""
    out: Annotated[File | None, Parameter(metavar="PATH")] = None
    """file or folder to write (default: in the run's folder)"""
    run: Run = None
    """folder of the run to export (default: the best)"""
    int8: bool = False
    """tflite in 8-bit integers: smaller, a little less exact"""
    force: bool = False
    """replace what is there"""
    trust: Trust = False
