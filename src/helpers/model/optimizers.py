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
        """Orthogonalise a kernel, as a matrix.

        Keras's polynomial in the matrix X is X times a polynomial in XᵀX: iterated on the small square matrix, it costs
        a third.
        """
        ops = keras.ops
        matrix = ops.reshape(x, (-1, x.shape[-1]))
        tall = matrix.shape[0] >= matrix.shape[1]
        matrix = matrix / (ops.norm(matrix) + 1e-7)
        flipped = ops.transpose(matrix)
        gram = ops.matmul(flipped, matrix) if tall else ops.matmul(matrix, flipped)
        product = unit = ops.eye(gram.shape[0], dtype=gram.dtype)
        for _ in range(steps):
            square = ops.matmul(gram, gram)
            factor = self.muon_a * unit + self.muon_b * gram + self.muon_c * square
            product = ops.matmul(product, factor)
            gram = ops.matmul(ops.matmul(factor, gram), factor)
        found = ops.matmul(matrix, product) if tall else ops.matmul(product, matrix)
        return ops.reshape(found, x.shape)

    def lr_adjust(self, x: Any) -> Any:
        """Scale the update of a kernel by its size as a matrix."""
        matrix = keras.ops.reshape(x, (-1, x.shape[-1]))
        return keras.ops.reshape(super().lr_adjust(matrix), x.shape)
