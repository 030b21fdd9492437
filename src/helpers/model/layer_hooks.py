"""Hooks into the layers of a model while it is called, at any depth of nesting, without changing its graph."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf


def flat_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Return the layers of a model in order, with nested models replaced by their layers."""
    flat: list[keras.layers.Layer] = []
    for layer in model.layers:
        flat.extend(flat_layers(layer) if isinstance(layer, keras.Model) else [layer])
    return flat


def shape_of(layer: keras.layers.Layer) -> tuple[int | None, ...]:
    """Return the shape of a layer's output; empty if it has several outputs, or none yet."""
    try:
        return tuple(layer.output.shape)
    except AttributeError:
        return ()


@contextlib.contextmanager
def replaced(thing: Any, name: str, value: Any) -> Iterator[None]:
    """Replace an attribute of an object within a `with` block."""
    own = name in vars(thing)
    before = getattr(thing, name)
    setattr(thing, name, value)
    try:
        yield
    finally:
        if own:
            setattr(thing, name, before)
        else:
            delattr(thing, name)


@contextlib.contextmanager
def watched(layer: keras.layers.Layer, watch: Callable[[Any, tf.Tensor], None]) -> Iterator[None]:
    """Call `watch` with the input and output of each call of a layer within a `with` block."""
    call = layer.call

    def calling(inputs: Any, *arguments: Any, **options: Any) -> tf.Tensor:
        output = call(inputs, *arguments, **options)
        watch(inputs, output)
        return output

    with replaced(layer, "call", calling):
        yield
