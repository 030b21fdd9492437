"""Optimizers: AdamW with a learning rate per variable, and Muon for convolution kernels."""

from collections.abc import Sequence
from typing import Any

import keras


class DiscriminativeAdamW(keras.optimizers.AdamW):
    """AdamW with a factor on the learning rate of each variable; weight decay uses the common rate.

    Args:
        *arguments: of AdamW.
        factors: one for each trained variable, in the order of `trainable_variables`.
        **options: of AdamW.
    """

    def __init__(self, *arguments: Any, factors: Sequence[float], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.factors = tuple(factors)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update a variable at its own rate."""
        factor = self.factors[self._get_variable_index(variable)]
        super().update_step(gradient, variable, learning_rate * factor)


class ConvolutionMuon(keras.optimizers.Muon):
    """Muon for convolution kernels, AdamW for all others; Keras's own Muon leaves four-dimensional kernels to AdamW.

    A kernel `[h, w, in, out]` is orthogonalised as the matrix `[h · w · in, out]`.

    Source: K. Jordan (2024), "Muon: an optimizer for hidden layers in neural networks".
    """

    def _should_use_adamw(self, variable: Any) -> bool:
        return len(variable.shape) != 4

    def zeropower_via_newtonschulz5(self, x: Any, steps: int) -> Any:
        """Orthogonalise a kernel as a matrix.

        Keras iterates a polynomial in the matrix X. It equals X times a polynomial in XᵀX, and iterating on that small
        square matrix takes a third of the time.
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
        orthogonal = ops.matmul(matrix, product) if tall else ops.matmul(product, matrix)
        return ops.reshape(orthogonal, x.shape)

    def lr_adjust(self, x: Any) -> Any:
        """Scale the update of a kernel by its size as a matrix."""
        matrix = keras.ops.reshape(x, (-1, x.shape[-1]))
        return keras.ops.reshape(super().lr_adjust(matrix), x.shape)
