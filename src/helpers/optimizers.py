"""Optimizers: Keras's own, with a rate for each variable, and Muon on convolution kernels."""

from collections.abc import Sequence
from typing import Any

import keras


class _Discriminative:
    """Gives an optimizer a factor on the learning rate of each variable (weight decay keeps the common rate).

    Args:
        *arguments: of the optimizer.
        factors: one for each trained variable, in the order of `trainable_variables`.
        **options: of the optimizer.
    """

    def __init__(self, *arguments: Any, factors: Sequence[float], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.factors = tuple(factors)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one variable, at its own rate."""
        factor = self.factors[self._get_variable_index(variable)]
        super().update_step(gradient, variable, learning_rate * factor)


class DiscriminativeAdamW(_Discriminative, keras.optimizers.AdamW):
    """AdamW with a factor on the learning rate of each variable: `factors`, in the order of `trainable_variables`."""


class DiscriminativeSGD(_Discriminative, keras.optimizers.SGD):
    """SGD with a factor on the learning rate of each variable: `factors`, in the order of `trainable_variables`."""


class ConvolutionMuon(keras.optimizers.Muon):
    """Muon on convolution kernels, AdamW on all else; Keras's own Muon leaves kernels of four dimensions to AdamW.

    A kernel `[h, w, in, out]` is orthogonalised as the matrix `[h · w · in, out]`.

    Source: K. Jordan (2024), "Muon: an optimizer for hidden layers in neural networks".
    """

    def _should_use_adamw(self, variable: Any) -> bool:
        return len(variable.shape) != 4

    def zeropower_via_newtonschulz5(self, x: Any, steps: int) -> Any:
        """Orthogonalise a kernel, as a matrix."""
        matrix = keras.ops.reshape(x, (-1, x.shape[-1]))
        return keras.ops.reshape(super().zeropower_via_newtonschulz5(matrix, steps), x.shape)

    def lr_adjust(self, x: Any) -> Any:
        """Scale the update of a kernel by its size as a matrix."""
        matrix = keras.ops.reshape(x, (-1, x.shape[-1]))
        return keras.ops.reshape(super().lr_adjust(matrix), x.shape)
