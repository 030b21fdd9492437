"""Training steps of the residual network in plain PyTorch, as a peer to measure against; run by benchmarks/training_step.py.

    python benchmarks/peers/residual_pytorch.py --width 16 --threads 2 --precision float32 [--compile]

Its environment is one of its own (benchmarks/README.md). It does what an engineer without this project would do well: tensors in
channels-last order, fused AdamW, autocast for bfloat16, and `torch.compile` on request. For each line on its input it takes some
steps on one batch that stays in memory, and prints their seconds and processor seconds as JSON.
"""

import argparse
import itertools
import json
import sys
from time import perf_counter, process_time

import torch
from torch import nn
from torch.nn import functional


class Convolution(nn.Module):
    """A 3×3 convolution, batch normalisation and ReLU."""

    def __init__(self, given: int, made: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(given, made, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(made)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the feature map, `[N, C, H, W]`."""
        return functional.relu(self.norm(self.convolution(x)))


class ResidualNetwork(nn.Module):
    """The network of `architectures.residual_cnn` for 28 × 28 grey images and ten classes: a stem and three stages."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem = Convolution(1, width)
        widths = [width, 2 * width, 4 * width]
        self.widen = nn.ModuleList([Convolution(one, two) for one, two in itertools.pairwise(widths)])
        self.blocks = nn.ModuleList(
            [nn.Sequential(Convolution(one, one), Convolution(one, one)) for one in widths]
        )
        self.classes = nn.Linear(4 * width, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits, `[N, 10]`."""
        x = functional.max_pool2d(self.stem((x - 73.0) / 90.0), 2, ceil_mode=True)
        for stage, block in enumerate(self.blocks):
            if stage:
                x = self.widen[stage - 1](functional.max_pool2d(x, 2, ceil_mode=True))
            x = x + block(x)
        return self.classes(x.amax((2, 3)))


def main() -> None:
    """Answer each line with the times of some steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--width", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], required=True)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--compile", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    network = ResidualNetwork(given.width).to(memory_format=torch.channels_last).train()
    forward = torch.compile(network) if given.compile else network
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.01, fused=True)
    images = (255 * torch.rand(given.batch, 1, 28, 28)).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(10, (given.batch,))
    for _ in sys.stdin:
        started, used = perf_counter(), process_time()
        for _ in range(given.steps):
            with torch.autocast("cpu", torch.bfloat16, enabled=given.precision == "bfloat16"):
                loss = functional.cross_entropy(forward(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(json.dumps([perf_counter() - started, process_time() - used]), flush=True)


if __name__ == "__main__":
    main()
