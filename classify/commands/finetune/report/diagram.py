"""The network as a picture: its blocks, the border, and what trains."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from classify.report.text import printable
from classify.training.summary import output_shape

if TYPE_CHECKING:
    from classify.commands.finetune.network.border import Border

ROWS = 40  # of more blocks, neighbours of one size share a box
# "block10_add" -> block10, "conv2_block1_1_bn" -> conv2_block1, "expanded_conv_3_add" -> expanded_conv_3
BLOCK = re.compile(r"(?:.*?_)?block_?\d+[a-z]?(?=_|$)|[a-z]+(?:_[a-z]+)?_?\d+[a-z]?(?=_|$)")
WIDTH, HEIGHT, GAP, LEFT = 860, 30, 10, 20
BELOW, FROZEN, TRAINS = "frozen, below the border", "frozen, above the border", "trains"
COLOURS = {BELOW: ("#e6edf5", "#7f9cbc"), FROZEN: ("#f1f1f1", "#999999"), TRAINS: ("#fbe6d6", "#d1681d")}
MINOR = {"BatchNormalization", "Activation", "ReLU", "InputLayer", "ZeroPadding2D", "Dropout"}


@dataclass(frozen=True)
class _Block:
    """Layers that are drawn as one box."""

    name: str
    state: str
    layers: tuple[Any, ...]  # Keras
    trained: int  # layers

    @property
    def shape(self) -> str:
        return output_shape(self.layers[-1])

    @property
    def what(self) -> str:
        kinds = Counter(type(layer).__name__ for layer in self.layers)
        shown = {kind: n for kind, n in kinds.items() if kind not in MINOR} or kinds
        return ", ".join(f"{n} {kind}" if n > 1 else kind for kind, n in shown.items())


def diagram_svg(network: Any, border: Border, classes: int) -> bytes:
    """Draw the network from the picture above to the classes below, and return the SVG file's bytes.

    Parameters
    ----------
    network : keras.Model
        The backbone: pictures to feature maps, functional.
    border : Border
        Its `layer` is empty where nothing is frozen.
    classes : int
        Outputs of the head, which is drawn last.
    """
    blocks = _blocks(network, border)
    parts, top = [], 84
    for number, block in enumerate(blocks):
        parts += _box(top, block.state, block.name, block.what, block.shape, _count(block))
        top += HEIGHT + GAP
        if block.layers[-1].name == border.layer and number + 1 < len(blocks):
            parts += _line(top, f"border: {block.shape} after {border.layer}")
            top += 2 * GAP
    parts += _box(top, TRAINS, "head", "pooling, Dense", str(classes), "1 layer trains")
    height = top + HEIGHT + GAP
    count = len(border.trainable)
    title = f"{count} layer{'s train' if count != 1 else ' trains'} in {network.name}, and the head"
    legend = []
    for number, (state, (fill, edge)) in enumerate(COLOURS.items()):
        x = LEFT + 300 * number
        legend += [
            f'<rect x="{x}" y="44" width="16" height="16" rx="3" fill="{fill}" stroke="{edge}"/>',
            _text(x + 24, 57, state),
        ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
            f'viewBox="0 0 {WIDTH} {height}" font-family="DejaVu Sans, Verdana, sans-serif" font-size="12">',
            f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
            _text(LEFT, 26, title, 'font-size="15"'),
            *legend,
            *parts,
            "</svg>\n",
        ]
    ).encode("utf-8")


def _blocks(network: Any, border: Border) -> list[_Block]:
    names = [layer.name for layer in network.layers]
    last = names.index(border.layer) if border.layer else -1
    first = names.index(border.first)
    # One inside another model is named "outer/inner", and the drawing has outer models only.
    trained, blocks = Counter(path.split("/")[0] for path in border.trainable), list[_Block]()
    for index, layer in enumerate(network.layers):
        state = BELOW if index <= last else FROZEN if index < first else TRAINS
        match = BLOCK.match(layer.name)
        name = match.group() if match else layer.name.split("_")[0]
        one = _Block(name, state, (layer,), trained[layer.name])
        if blocks and (blocks[-1].name, blocks[-1].state) == (name, state):
            one = _join(blocks.pop(), one, name)
        blocks.append(one)
    if len(blocks) <= ROWS:
        return blocks
    merged = blocks[:1]
    for block in blocks[1:]:
        before = merged[-1]
        if (before.shape.split(" x ")[0], before.state) == (block.shape.split(" x ")[0], block.state):
            merged[-1] = _join(before, block, f"{before.name.split(' … ')[0]} … {block.name}")
        else:
            merged.append(block)
    return merged


def _join(one: _Block, two: _Block, name: str) -> _Block:
    return _Block(name, one.state, one.layers + two.layers, one.trained + two.trained)


def _count(block: _Block) -> str:
    n = len(block.layers)
    total = f"{n} layer{'s' if n > 1 else ''}"
    if not block.trained:
        return total
    of = f"{block.trained} of {total}" if block.trained <= n else f"{block.trained} layers"
    return f"{of} train{'s' if block.trained == 1 else ''}"


def _box(top: int, state: str, name: str, what: str, shape: str, count: str) -> list[str]:
    fill, edge = COLOURS[state]
    middle = top + HEIGHT / 2 + 4
    size = f'width="{WIDTH - 2 * LEFT}" height="{HEIGHT}" rx="5"'
    stem = f'<path d="M{WIDTH / 2} {top - GAP}V{top}" stroke="#999999"/>'
    return [
        stem if top > 84 else "",
        f'<rect x="{LEFT}" y="{top}" {size} fill="{fill}" stroke="{edge}"/>',
        _text(LEFT + 12, middle, printable(name, 28), 'font-weight="bold"'),
        _text(LEFT + 220, middle, printable(what, 50)),
        _text(LEFT + 570, middle, shape),
        _text(WIDTH - LEFT - 12, middle, count, 'text-anchor="end"'),
    ]


def _line(top: int, text: str) -> list[str]:
    y = top + GAP / 2
    return [
        f'<path d="M{WIDTH / 2} {top - GAP}V{top + GAP}" stroke="#999999"/>',
        f'<path d="M4 {y}H{WIDTH - 4}" stroke="#1f5fa8" stroke-width="2" stroke-dasharray="7 4"/>',
        f'<rect x="{LEFT + 8}" y="{y - 9}" width="{16 + 7.4 * len(text)}" height="18" fill="white"/>',
        _text(LEFT + 12, y + 4, text, 'fill="#1f5fa8"'),
    ]


def _text(x: float, y: float, text: str, style: str = "") -> str:
    return f'<text x="{x}" y="{y}" {style}>{escape(printable(text))}</text>'
