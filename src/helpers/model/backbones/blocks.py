"""The blocks of a backbone inside a model: what they are called, what is in them, and which are trained."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import keras
from keras import layers

from helpers.errors import UsageError

# how EfficientNet(-Lite), MobileNetV2 and ResNet-50 call the layers of a block
_BLOCK = re.compile(
    r"^(stem|head|top|block\d+[a-z]?|block_\d+|expanded_conv|conv\d+_block\d+)_|^(?:bn_)?(Conv1)(?:_|$)|^(Conv_1)|^(conv1)_"
)


@dataclass(frozen=True)
class Block:
    """One block of a backbone, or its first or last convolution.

    Attributes:
        name: as its layers are called.
        layers: the names of its layers with weights, in order.
        output_shape: `(h, w, channels)` of the last of them.
        parameters: numbers in it, batch normalisation's statistics left out.
        trained: how many of them training changes.
    """

    name: str
    layers: tuple[str, ...]
    output_shape: tuple[int, int, int]
    parameters: int
    trained: int

    @property
    def trainable(self) -> bool:
        """Whether training changes any of it."""
        return self.trained > 0


def blocks(model: keras.Model) -> list[Block]:
    """Return the backbone's blocks in a model, from the image to the top.

    Raises:
        UsageError: the model holds no backbone whose blocks are known.
    """
    members: dict[str, list[layers.Layer]] = {}
    for layer in model.layers:
        found = _BLOCK.match(layer.name)
        if found and layer.weights:
            name = next(group for group in found.groups() if group)
            name = "top" if name == "head" else name  # not to be taken for the new head
            members.setdefault(name, []).append(layer)
    if not members:
        raise UsageError(
            f"'{model.name}' holds no blocks of a backbone.", "pass the model that 05_transfer_learning saved"
        )
    return [_block(name, found) for name, found in members.items()]


def _block(name: str, found: list[layers.Layer]) -> Block:
    numbers = [v for layer in found for v in layer.variables if "moving_" not in v.name]
    return Block(
        name,
        tuple(layer.name for layer in found),
        tuple(found[-1].output.shape[1:]),
        _count(numbers),
        _count([v for layer in found for v in layer.trainable_variables]),
    )


def _count(variables: Sequence[keras.Variable]) -> int:
    return sum(int(v.shape.num_elements()) for v in variables)


def unfreeze(model: keras.Model, count: int | None, train_depthwise: bool = True) -> list[Block]:
    """Let training change the top blocks of the backbone and all layers after it; freeze what is below.

    Batch normalisation of the backbone and of the head is frozen throughout: a frozen layer of Keras's uses its
    stored statistics, in training too, and keeps its scale and offset.

    Args:
        model: in which to do so, in place.
        count: how many blocks from the top; None for all, 0 for the head alone.
        train_depthwise: whether depthwise kernels of these blocks are trained too. They hold few numbers, and
            their gradients are slow on CPUs.

    Returns:
        The blocks as they are now.

    Raises:
        UsageError: the model has fewer blocks, or none.
    """
    found = blocks(model)
    count = len(found) if count is None else count
    if not 0 <= count <= len(found):
        raise UsageError(
            f"'{model.name}' has {len(found)} blocks; {count} of them cannot be unfrozen.",
            f"set a number from 0 to {len(found)}",
        )
    frozen = {name for block in found[: len(found) - count] for name in block.layers}
    model.trainable = True
    kept = (
        (layers.BatchNormalization,)
        if train_depthwise
        else (layers.BatchNormalization, layers.DepthwiseConv2D)
    )
    for layer in model.layers:
        layer.trainable = not (layer.name in frozen or isinstance(layer, kept))
    return blocks(model)


def rates(model: keras.Model, found: Sequence[Block], decay: float) -> dict[str, float]:
    """Return the factor on the learning rate of each trained variable, by the variable's path.

    The head has 1, the top block `decay`, the one below `decay²`, and so on.

    Source: J. Howard and S. Ruder (2018), "Universal language model fine-tuning for text classification"
    (discriminative fine-tuning).
    """
    depth = {name: len(found) - place for place, block in enumerate(found) for name in block.layers}
    return {
        variable.path: decay ** depth.get(layer.name, 0)
        for layer in model.layers
        for variable in layer.trainable_variables
    }
