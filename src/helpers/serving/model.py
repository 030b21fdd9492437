"""The served version: loaded, proven, and swapped for the next one between two requests."""

import logging
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import numpy as np

from helpers.errors import OsemnError, UsageError
from helpers.export import registry, versions
from helpers.interpret import unknown
from helpers.obtain.images.framing import Framing
from helpers.obtain.images.pictures import Preparation

TOP = 3  # classes listed in a prediction
RETRY_SECONDS = 60.0  # after which a version that failed its checks is tried again
_SMALLEST = 1e-12  # keeps the logarithm of a probability finite
log = logging.getLogger("osemn.serving")


@dataclass(frozen=True, eq=False)
class Served:
    """A version whose files and outputs were checked.

    Attributes:
        version: of the registry.
        session: ONNX Runtime's.
        classes: their names, by label.
        shape: `(H, W, C)` of an image.
        temperature: makes calibrated confidences of probabilities, with the exponent; see `calibration.Scaling`.
        exponent: 1 for a temperature alone.
        preparation: how the data set's images were prepared.
        detector: recognises images of none of the classes; None for a version that was exported without one.
    """

    version: versions.Version
    session: Any
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    temperature: float
    exponent: float
    preparation: Preparation = field(default_factory=Preparation)
    detector: unknown.Detector | None = None

    @classmethod
    def load(cls, version: versions.Version) -> "Served":
        """Check every file and the golden outputs of a version and return it, ready to predict.

        Raises:
            OsemnError: it is damaged, or does not reproduce its golden outputs.
        """
        versions.verify(version)
        loaded = versions.session(version)
        versions.replay(version, loaded)
        manifest, detector = version.manifest, version.folder / unknown.FILE
        try:
            framed = Framing(**manifest["framing"]) if manifest.get("framing") else None
            return cls(
                version,
                loaded,
                tuple(manifest["classes"]),
                tuple(manifest["signature"]["input"]["shape"][1:]),
                float(manifest["metrics"]["test"]["temperature"]),
                float(manifest["metrics"]["test"].get("exponent", 1.0)),
                Preparation.of(manifest.get("preparation"), framed),
                unknown.Detector.load(detector) if detector.is_file() else None,
            )
        except (KeyError, TypeError, ValueError, UsageError) as error:
            raise OsemnError(
                f"The manifest of version {version.name} lacks {error}.", "export the model again (10_export)"
            ) from None

    def predict(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return probabilities, `float32 [N, K]`, and embeddings, `float32 [N, D]`, of `[N, H, W, C]`."""
        names = ("probabilities", "embedding")
        return tuple(self.session.run(names, {"image": images.astype(np.float32, copy=False)}))

    def describe(self, probabilities: np.ndarray, embeddings: np.ndarray) -> list[dict[str, Any]]:
        """Return the prediction for each image, as plain JSON types, from what `predict` returns.

        `probabilities` are the model's own, `calibrated` those after scaling; `top` lists the highest of the latter,
        and `confidence` is the very highest. `unknown` says whether the image seems to show none of the classes; it is None where
        the version has no detector.
        """
        distances = np.maximum(-np.log(np.maximum(probabilities, _SMALLEST)), 0.0)
        scaled = -(distances**self.exponent) / self.temperature
        scaled = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        scaled = scaled / scaled.sum(axis=1, keepdims=True)
        order = np.argsort(-probabilities, axis=1, kind="stable")[:, :TOP].tolist()
        own, calibrated = (np.round(rows.astype(np.float64), 6).tolist() for rows in (probabilities, scaled))
        unlike = self.detector.rejects(embeddings).tolist() if self.detector else [None] * len(order)
        return [
            {
                "class": self.classes[best[0]],
                "label": best[0],
                "confidence": row[best[0]],
                "unknown": strange,
                "probabilities": dict(zip(self.classes, own_row, strict=True)),
                "calibrated": dict(zip(self.classes, row, strict=True)),
                "top": [{"class": self.classes[place], "probability": row[place]} for place in best],
            }
            for best, own_row, row, strange in zip(order, own, calibrated, unlike, strict=True)
        ]


class Holder:
    """Holds the served version, and takes over the registry's next one once it is proven.

    Args:
        dataset: the data set whose registry is watched; its current version is loaded at once.

    Raises:
        OsemnError: there is no current version, or it is damaged.
    """

    def __init__(self, dataset: str) -> None:
        self.registry = registry.Registry(dataset)
        self.served = Served.load(self.registry.current())
        self.refused = 0
        self._tried: tuple[str, int] | None = None  # name and promotion time of the version that failed
        self._tried_at = 0.0
        self._logged: tuple[Any, ...] = ()

    def update(self) -> bool:
        """Take over the registry's current version if it is a new one; return whether it was.

        A version that fails its checks is tried again when it is promoted again, and every minute. The same failure is counted and
        logged once. The version before it stays in service.
        """
        try:
            promoted_at = (self.registry.folder / registry.CURRENT).stat().st_mtime_ns
            name = self.registry.promoted()[0]
        except (OsemnError, IndexError, OSError):
            return False
        before = self.served.version.name
        if name == before:
            self._tried = None
            return False
        if self._tried == (name, promoted_at) and monotonic() - self._tried_at < RETRY_SECONDS:
            return False
        self._tried, self._tried_at = (name, promoted_at), monotonic()
        try:
            self.served = Served.load(self.registry.current())
        except (OsemnError, OSError) as error:
            self._refuse(error, name, before)
            return False
        self._tried = None
        log.info("version swapped", extra={"facts": {"version": name, "before": before}})
        return True

    def _refuse(self, error: Exception, name: str, serving: str) -> None:
        """Count and log a failure, unless it repeats the last one: the same promotion, the same reason."""
        failure = (self._tried, str(error))
        if failure == self._logged:
            return
        self._logged = failure
        self.refused += 1
        facts = {"version": name, "serving": serving, "why": str(error)}
        log.error("version refused", extra={"facts": facts})
