"""Where the stages of a network end, so that each can be averaged beside the last. Keras is imported when called.

A stage is what a network computes at one size of its feature maps. Early stages see colours and textures, which the
last, made for its own classes, has thrown away.
"""

import math
from typing import TYPE_CHECKING, Any

from cache.errors import UserError
from extract.backbones.flow import call_of, sweep

if TYPE_CHECKING:
    import keras

FIRST = 2  # halvings of the picture's side: stages with larger maps say little, and take time to average


def stage_maps(network: "keras.Model", named: tuple[str, ...] = ()) -> list[Any]:
    """List the feature maps (B, h, w, c) that the stages of a network end with, and then what it gives itself.

    Parameters
    ----------
    network : keras.Model
        Functional, with one output; it is not changed.
    named : tuple of str
        The layers to take. Without any, of the tensors through which all data flows the last at each halving of the
        picture's side is taken, from a quarter on; the network's own end stands for the last.

    Raises
    ------
    UserError
        If there is none but the network's own end, as in a network that makes tokens of a picture.
    """
    top = network.outputs[0]
    if named:
        return [*(network.get_layer(name).output for name in named), top]
    found = _found(network)
    if not found:
        raise UserError(
            f"Expected a network whose feature maps get smaller by stages, received {network.name}, where none are "
            "found: it makes tokens of a picture, hides its layers, or leads data past each of them. Pass "
            "--pooling avg."
        )
    return [*found, top]


def _found(network: "keras.Model") -> list[Any]:
    from keras import layers

    side = network.inputs[0].shape[1]
    ends: dict[int, Any] = {}  # by how often the side was halved
    tokens = False
    for node, alone in sweep(network.outputs):
        maps = node.outputs[0]
        if not alone or isinstance(node.operation, layers.ZeroPadding2D):
            continue
        if len(maps.shape) > 2:
            tokens = len(maps.shape) == 3
        if len(maps.shape) == 4 and isinstance(maps.shape[1], int) and maps.shape[1] == maps.shape[2]:
            halvings = round(math.log2(side / maps.shape[1]))
            ends.pop(halvings, None)  # a network that enlarges its maps again comes here twice
            ends[halvings] = maps
    # What the network gives, or averages to give it, is the top and no stage of its own.
    last = _averaged(network.outputs[0])
    return (
        [] if tokens else [maps for halvings, maps in ends.items() if halvings >= FIRST and maps is not last]
    )


def _averaged(top: Any) -> Any:
    """What `top` is the average of over the picture; itself where it is none."""
    from keras import layers

    node = call_of(top)
    return node.input_tensors[0] if isinstance(node.operation, layers.GlobalAveragePooling2D) else top
