"""The served version: loaded, proven, and swapped for the next one between two requests."""

import logging
import timeit
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import numpy as np

from helpers.errors import OsemnError, UsageError
from helpers.export import registry, versions
from helpers.interpret import drift, unknown
from helpers.obtain.images.framing import Framing
from helpers.obtain.images.pictures import Preparation
from helpers.series import records

TOP = 3  # classes listed in a prediction
RETRY_SECONDS = 60.0  # after which a version that failed its checks is tried again
QUICK_SECONDS = 0.001  # for one image; a model that takes longer runs in the pool, so that other requests are read meanwhile
CHUNK = 250  # images in a call of the model, so that memory stays bounded
_SMALLEST = 1e-12  # of a probability, as when the temperature was fitted
log = logging.getLogger("osemn.serving")


@dataclass(frozen=True, eq=False)
class Served:
    """A version whose files and outputs were checked.

    Attributes:
        version: of the registry.
        session: ONNX Runtime's, on one thread.
        classes: their names, by label.
        shape: `(H, W, C)` of an image.
        temperature: makes calibrated confidences of probabilities, with the exponent; see `calibration.Scaling`.
        exponent: 1 for a temperature alone.
        preparation: how the data set's images were prepared.
        detector: recognises images of none of the classes; None for a version that was exported without one.
        quick: whether one image takes no longer than `QUICK_SECONDS`.
        wide: a session on all cores of this process; None if it has only one.
    """

    version: versions.Version
    session: Any
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    temperature: float
    exponent: float
    preparation: Preparation = field(default_factory=Preparation)
    detector: unknown.Detector | None = None
    quick: bool = False
    wide: Any = None

    @classmethod
    def load(cls, version: versions.Version, processes: int = 1) -> "Served":
        """Check every file and the golden outputs of a version and return it, ready to predict.

        Args:
            version: of the registry.
            processes: that share the machine's cores.

        Raises:
            OsemnError: it is damaged, or does not reproduce its golden outputs.
        """
        versions.verify(version)
        model = version.folder / versions.MODEL
        loaded = versions.session(model)
        versions.replay(version, loaded)
        manifest, detector = version.manifest, version.folder / unknown.FILE
        cores = records.usable_cores() // processes
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
                _is_quick(loaded),
                versions.session(model, cores) if cores > 1 else None,
            )
        except (KeyError, TypeError, ValueError, UsageError) as error:
            raise OsemnError(
                f"The manifest of version {version.name} lacks {error}.", "export the model again (10_export)"
            ) from None

    def drift_reference(self) -> drift.DriftReference | None:
        """Return what the version compares windows of images with; None if there were too few validation images for it.

        Example:
            `reference = served.drift_reference()`
        """
        path = self.version.folder / versions.DRIFT
        return drift.DriftReference.load(path) if path.is_file() else None

    def predict(self, images: np.ndarray, *, alone: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """Return probabilities, `float32 [N, K]`, and embeddings, `float32 [N, D]`, of `[N, H, W, C]`.

        Args:
            images: one or more.
            alone: whether nothing else is predicted meanwhile, so that all cores are free for several images or a slow model; for
                one image of a quick model, their coordination takes longer than it saves.
        """
        wide = alone and self.wide is not None and (len(images) > 1 or not self.quick)
        names, session = ("probabilities", "embedding"), self.wide if wide else self.session
        parts = [
            session.run(names, {"image": images[start : start + CHUNK].astype(np.float32, copy=False)})
            for start in range(0, len(images), CHUNK)
        ]
        return tuple(parts[0] if len(parts) == 1 else map(np.concatenate, zip(*parts, strict=True)))

    def describe(self, probabilities: np.ndarray, embeddings: np.ndarray) -> list[dict[str, Any]]:
        """Return the prediction for each image, as plain JSON types, from what `predict` returns.

        `probabilities` are the model's own, `calibrated` those after scaling; `top` lists the highest of the latter,
        and `confidence` is the very highest. `unknown` says whether the image seems to show none of the classes; it is None where
        the version has no detector.
        """
        distances = np.maximum(-np.log(np.maximum(probabilities, _SMALLEST)), 0.0) ** self.exponent
        scaled = np.exp((distances.min(axis=1, keepdims=True) - distances) / self.temperature)
        scaled /= scaled.sum(axis=1, keepdims=True)
        order = np.argsort(-probabilities, axis=1, kind="stable")[:, :TOP].tolist()
        own, calibrated = np.stack([probabilities, scaled]).astype(np.float64).round(6).tolist()
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


def _is_quick(session: Any) -> bool:
    """Return whether a session predicts one image within `QUICK_SECONDS`; the fastest of three runs counts."""
    image = {"image": np.zeros((1, *session.get_inputs()[0].shape[1:]), np.float32)}
    return min(timeit.repeat(lambda: session.run(None, image), number=1, repeat=3)) <= QUICK_SECONDS


class Holder:
    """Holds the served version, and takes over the registry's next one once it is proven.

    Args:
        dataset: the data set whose registry is watched; its current version is loaded at once.
        processes: that share the machine's cores.

    Raises:
        OsemnError: there is no current version, or it is damaged.
    """

    def __init__(self, dataset: str, processes: int = 1) -> None:
        self.registry, self.processes = registry.Registry(dataset), processes
        self.served = Served.load(self.registry.current(), processes)
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
            self.served = Served.load(self.registry.current(), self.processes)
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
