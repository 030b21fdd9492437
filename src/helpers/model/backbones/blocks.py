"""The blocks of a backbone inside a model: their names, their layers, and which of them are trained."""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

import keras
from keras import layers

from helpers.errors import UsageError

# names of a block's layers in EfficientNet(-Lite), MobileNetV2 and ResNet-50
_BLOCK = re.compile(
    r"^(stem|head|top|block\d+[a-z]?|block_\d+|expanded_conv|conv\d+_block\d+)_|^(?:bn_)?(Conv1)(?:_|$)|^(Conv_1)|^(conv1)_"
)


@dataclass(frozen=True)
class Block:
    """One block of a backbone, or its first or last convolution.

    Attributes:
        name: the prefix of its layers' names.
        layers: the names of its layers with weights, in order.
        output_shape: `(h, w, channels)` of the last layer.
        parameters: number of parameters, without the statistics of batch normalisation.
        trained: number of parameters that training changes.
    """

    name: str
    layers: tuple[str, ...]
    output_shape: tuple[int, int, int]
    parameters: int
    trained: int

    @property
    def trainable(self) -> bool:
        """Whether training changes any parameter."""
        return self.trained > 0


def blocks(model: keras.Model) -> list[Block]:
    """Return the backbone's blocks in a model, from the image to the top.

    Raises:
        UsageError: the model contains no known backbone.

    Example:
        `blocks.blocks(model)`
    """
    members: dict[str, list[layers.Layer]] = {}
    for layer in model.layers:
        match = _BLOCK.match(layer.name)
        if match and layer.weights:
            name = next(group for group in match.groups() if group)
            name = "top" if name == "head" else name  # the new classifier is the head
            members.setdefault(name, []).append(layer)
    if not members:
        raise UsageError(
            f"'{model.name}' contains no blocks of a known backbone.",
            "pass the model that 05_transfer_learning saved",
        )
    return [_block(name, parts) for name, parts in members.items()]


def stage_maps(model: keras.Model) -> dict[str, keras.KerasTensor]:
    """Return feature maps from inside a backbone, by the name of their layer: what its last map no longer tells.

    These are the end of each stage, which is a run of blocks whose maps have the same number of channels, and the widest map
    of each size. Maps as large as the first one, and those as small as the last, are left out. Empty without known blocks.
    """
    ends: dict[str, layers.Layer] = {}
    widest: dict[int, layers.Layer] = {}
    for layer in model.layers:
        match = _BLOCK.match(layer.name)
        if match and len(layer.output.shape) == 4 and not isinstance(layer, layers.ZeroPadding2D):
            ends[next(group for group in match.groups() if group)] = layer
            side, channels = layer.output.shape[1], layer.output.shape[-1]
            if side not in widest or channels >= widest[side].output.shape[-1]:
                widest[side] = layer
    pairs = itertools.pairwise(ends.values())
    stages = [one for one, after in pairs if one.output.shape[-1] != after.output.shape[-1]]
    first, last = max(widest, default=0), model.output.shape[1]
    inner = [layer for side, layer in widest.items() if last < side]
    names = {layer.name for layer in (*stages, *inner) if last <= layer.output.shape[1] < first}
    return {layer.name: layer.output for layer in model.layers if layer.name in names}


def _block(name: str, parts: list[layers.Layer]) -> Block:
    return Block(
        name,
        tuple(layer.name for layer in parts),
        tuple(parts[-1].output.shape[1:]),
        _count([v for layer in parts for v in layer.variables if "moving_" not in v.name]),
        _count([v for layer in parts for v in layer.trainable_variables]),
    )


def _count(variables: Sequence[keras.Variable]) -> int:
    return sum(int(v.shape.num_elements()) for v in variables)


def unfreeze(model: keras.Model, count: int | None, train_depthwise: bool = True) -> list[Block]:
    """Unfreeze the top blocks of the backbone and all layers after it in place; freeze the blocks below.

    All batch normalisation stays frozen: a frozen Keras layer uses its stored statistics even during training, and keeps
    its scale and offset.

    Args:
        model: with the blocks of a backbone.
        count: number of blocks from the top; None for all, 0 for the head alone.
        train_depthwise: whether to train the depthwise kernels of these blocks. They have few parameters, and their
            gradients are slow on CPUs.

    Returns:
        The blocks with their new state.

    Raises:
        UsageError: the model has fewer blocks, or none.

    Example:
        `blocks.unfreeze(model, 14, train_depthwise=False)`
    """
    parts = blocks(model)
    count = len(parts) if count is None else count
    if not 0 <= count <= len(parts):
        raise UsageError(
            f"'{model.name}' has {len(parts)} blocks; {count} of them cannot be unfrozen.",
            f"set a number from 0 to {len(parts)}",
        )
    frozen = {name for block in parts[: len(parts) - count] for name in block.layers}
    frozen_kinds = (layers.BatchNormalization, *(() if train_depthwise else (layers.DepthwiseConv2D,)))
    model.trainable = True
    for layer in model.layers:
        layer.trainable = not (layer.name in frozen or isinstance(layer, frozen_kinds))
    return blocks(model)


def rates(model: keras.Model, parts: Sequence[Block], decay: float) -> dict[str, float]:
    """Return the factor on the learning rate of each trained variable, by the variable's path.

    It is 1 for the head, `decay` for the top block, `decay²` for the block below, and so on.

    Source: J. Howard and S. Ruder (2018), "Universal language model fine-tuning for text classification"
    (discriminative fine-tuning).
    """
    depth = {name: len(parts) - place for place, block in enumerate(parts) for name in block.layers}
    return {
        variable.path: decay ** depth.get(layer.name, 0)
        for layer in model.layers
        for variable in layer.trainable_variables
    }
