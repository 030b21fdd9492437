"""None of these: which images show none of the classes, by the inputs of the network's last layer.

A network predicts one of its classes for any image. Five scores say how unlike the known images an image is, the higher, the
more: the energy of its logits (W. Liu et al. 2020), the largest logit (D. Hendrycks et al. 2022), the Mahalanobis distance to the
nearest class (K. Lee et al. 2018), the distance to the nearest training images (Y. Sun et al. 2022), and the larger one of energy
and Mahalanobis distance. Which is best depends on network and images, so `unknown_choice` chooses on validation
images. Scoring needs no more than the embedding that the exported model returns, so the service does the same as the notebook.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import special
from scipy.spatial import distance

from helpers.errors import OsemnError

FILE = "unknown.npz"
TITLES = {
    "energy": "the energy of the logits",
    "largest_logit": "the largest logit",
    "mahalanobis": "the Mahalanobis distance to the nearest class",
    "neighbours": "the distance to the nearest training images",
    "energy_or_mahalanobis": "the larger one of energy and Mahalanobis distance",
}
_NEIGHBOURS = 10  # one would follow single odd images, and a class of few images has no fifty


@dataclass(frozen=True, eq=False)
class Detector:
    """Scores embeddings, `[N, D]`, by how unlike those of known images they are.

    Attributes:
        kind: the score, a key of `TITLES`.
        threshold: an image with a higher score counts as unknown.
        weights: of the last layer, `[D, K]`.
        bias: of the last layer, `[K]`.
        centre: mean of the training images' embeddings, `[D]`.
        axes: their principal components, `[D, A]`.
        whiten: makes distances in that space, and to it, Mahalanobis distances, `[A + 1, A + 1]`.
        means: of the classes after whitening, `[K, A + 1]`.
        known: training images' embeddings, of length one, `[M, D]`.
        typical: median and spread of energy and Mahalanobis distance on known images, `[2, 2]`.
    """

    kind: str
    threshold: float
    weights: np.ndarray
    bias: np.ndarray
    centre: np.ndarray
    axes: np.ndarray
    whiten: np.ndarray
    means: np.ndarray
    known: np.ndarray
    typical: np.ndarray

    def score(self, embeddings: np.ndarray, kind: str = "") -> np.ndarray:
        """Return the score of each image, `[N]`; by default the chosen one."""
        return getattr(self, f"_{kind or self.kind}")(embeddings)

    def rejects(self, embeddings: np.ndarray) -> np.ndarray:
        """Return whether each image counts as unknown, `[N] bool`.

        Example:
            `detector.rejects(embeddings).mean()`
        """
        return self.score(embeddings) > self.threshold

    def _logits(self, embeddings: np.ndarray) -> np.ndarray:
        return embeddings @ self.weights + self.bias

    def _energy(self, embeddings: np.ndarray) -> np.ndarray:
        return -special.logsumexp(self._logits(embeddings), axis=1)

    def _largest_logit(self, embeddings: np.ndarray) -> np.ndarray:
        return -self._logits(embeddings).max(axis=1)

    def _mahalanobis(self, embeddings: np.ndarray) -> np.ndarray:
        places = with_residual(embeddings - self.centre, self.axes) @ self.whiten
        return distance.cdist(places, self.means, "sqeuclidean").min(axis=1)

    def _neighbours(self, embeddings: np.ndarray) -> np.ndarray:
        alike, nth = unit(embeddings) @ self.known.T, min(_NEIGHBOURS, len(self.known))
        return 1.0 - np.partition(alike, -nth, axis=1)[:, -nth]

    def _energy_or_mahalanobis(self, embeddings: np.ndarray) -> np.ndarray:
        scores = np.stack([self._energy(embeddings), self._mahalanobis(embeddings)], axis=1)
        return ((scores - self.typical[0]) / self.typical[1]).max(axis=1)

    def save(self, path: Path) -> None:
        """Write the detector to an `.npz` file, in float32; training images only if the score needs them."""
        arrays = {name: np.float32(value) for name, value in vars(self).items() if name != "kind"}
        arrays["known"] = arrays["known"][: None if self.kind == "neighbours" else 0]
        np.savez(path, kind=self.kind, **arrays)

    @classmethod
    def load(cls, path: Path) -> "Detector":
        """Read a detector written by `save`.

        Raises:
            OsemnError: the file is not a detector.
        """
        try:
            with np.load(path, allow_pickle=False) as content:
                values = {name: content[name] for name in content.files}
            return cls(**values | {"kind": str(values["kind"]), "threshold": float(values["threshold"])})
        except (OSError, ValueError, KeyError, TypeError) as error:
            problem = f"{path.name} does not tell unknown images ({error})."
            raise OsemnError(problem, "export the model again (10_export)") from None


def with_residual(centred: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Return the places of `[N, D]` on the axes and, as a further column, the distance from their space, `[N, A + 1]`."""
    places = centred @ axes
    beyond = np.square(centred).sum(axis=1) - np.square(places).sum(axis=1)
    return np.column_stack([places, np.sqrt(np.maximum(beyond, 0.0))])


def unit(values: np.ndarray) -> np.ndarray:
    """Return the rows scaled to length one."""
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
