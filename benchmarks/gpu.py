# python benchmarks/gpu.py
# python benchmarks/gpu.py --only resnet18 --rounds 9 --markdown
# python benchmarks/gpu.py --cpu-smoke              tiny, on the CPU: shows that it runs
"""Steps on one GPU, beside loops written by hand on tensors that stay there, Lightning, and airbench.

Ours are whole runs with their observers, and times are of a step. ``resnet18``: CIFAR-shaped, batch 512, bf16,
channels_last, crop and flip, SGD. ``mlp`` and ``lenet``: MNIST-shaped, batch 128, fp32 with TF32, ours compiled with
CUDA graphs beside the eager loop. ``resident``: ours with the data in the host's memory beside ours with them on the
device. ``airbench``: our recipe, which minimises with Muon, beside the package, which has SGD, at batch 2000.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from tempfile import TemporaryDirectory

import torch
from anchors import gpu_loop, pil
from anchors.resident import Normalise, ResidentBatches
from ours import configured, took_s
from rounds import Comparison, Contender, Goal, compared, parser, report
from torch import Tensor, nn

from runner.models import MLP, LeNet, ResNet

PADDING, MEAN, STD = 4, 0.5, 0.25


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is trained; the same for ours and for every anchor."""

    model: str
    channels: int
    pixels: int
    batch_size: int
    samples: int
    steps: int
    first: int  # steps that do not count
    device: str
    precision: str = "fp32"
    channels_last: bool = False
    augmented: bool = False
    log_every_steps: int = 10

    def network(self) -> nn.Module:
        kind = {"mlp": MLP, "lenet": LeNet, "resnet18": ResNet}[self.model]
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        made = kind(in_channels=self.channels, image_size=(self.pixels, self.pixels), num_classes=10)
        return made.to(self.device, memory_format=layout)  # type: ignore[call-overload]

    def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        settings = {"lr": 0.05, "momentum": 0.9, "weight_decay": 5e-4, "nesterov": True}
        return torch.optim.SGD(network.parameters(), **settings, fused=self.device == "cuda" or None)

    def tensors(self) -> tuple[Tensor, Tensor]:
        """uint8 images (N, C, H, W) and labels, on the CPU."""
        images = torch.randint(0, 256, (self.samples, self.channels, self.pixels, self.pixels), dtype=torch.uint8)
        return images, torch.randint(10, (self.samples,))


def ours(case: Case, **settings: object) -> Callable[[], float]:
    """Seconds of a step of a whole run."""
    image = {"channels": case.channels, "height": case.pixels, "width": case.pixels}
    size = {"train_size": case.samples, "valid_size": case.batch_size, "test_size": case.batch_size}
    statistics = {"mean": [MEAN] * case.channels, "std": [STD] * case.channels}
    data = [f"dataset.{key}={value}" for key, value in {**image, **size, **statistics}.items()]
    crop_flip = ["augmentation=crop_flip", f"augmentation.padding={PADDING}"]
    cfg = configured(
        *("dataset=synthetic", *data, *(crop_flip if case.augmented else ["augmentation=none"])),
        *(f"model={case.model}", "optimizer=sgd", "scheduler=constant"),
        steps=case.steps,
        evaluate_every_steps=case.steps,
        save_every_steps=case.steps,
        log_every_steps=case.log_every_steps,
        batch_size=case.batch_size,
        device=case.device,
        precision=case.precision,
        channels_last=case.channels_last,
        **settings,
    )
    return lambda: took_s(cfg, first_step=case.first, last_step=case.steps) / (case.steps - case.first)


def by_hand(case: Case) -> Callable[[], float]:
    """Seconds of a step of the loop on resident tensors."""
    normalise = Normalise([MEAN] * case.channels, [STD] * case.channels, case.device)
    layout = torch.channels_last if case.channels_last else torch.contiguous_format
    prepare = gpu_loop.CropFlip(normalise, padding=PADDING, memory_format=layout) if case.augmented else normalise
    images, labels = (tensor.to(case.device) for tensor in case.tensors())
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[case.precision]

    def seconds() -> float:
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.benchmark = True
        network = case.network()
        batches = ResidentBatches(
            images, labels, batch_size=case.batch_size, steps=case.steps, first=case.first, prepare=prepare
        )
        gpu_loop.train(network, case.optimizer(network), nn.CrossEntropyLoss(), batches, dtype=dtype)
        return batches.step_s

    return seconds


def lightning(case: Case, *, workers: int) -> Callable[[], float]:
    """Seconds of a step of the second of two epochs through a DataLoader."""
    images, labels = case.tensors()
    arrays = images.permute(0, 2, 3, 1).contiguous().numpy(), labels.numpy()

    def seconds() -> float:
        from anchors import lightning_loop

        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.benchmark = True
        network = case.network()
        batches = pil.loader(
            *arrays,
            mean=[MEAN] * case.channels,
            std=[STD] * case.channels,
            padding=PADDING,
            batch_size=case.batch_size,
            workers=workers,
            pin_memory=case.device == "cuda",
        )
        with TemporaryDirectory() as folder:
            epoch_s = lightning_loop.train(
                network,
                case.optimizer(network),
                nn.CrossEntropyLoss(),
                batches,
                folder=folder,
                epochs=2,
                accelerator=case.device,
                precision={"fp32": "32-true", "bf16": "bf16-mixed"}[case.precision],
                memory_format=torch.channels_last if case.channels_last else torch.contiguous_format,
            )
        return epoch_s / len(batches)

    return seconds


def resnet18(args: argparse.Namespace) -> Case:
    size = {"batch_size": 512, "samples": 50_176, "steps": 300, "first": 100}
    small = {"batch_size": 4, "samples": 8, "steps": 3, "first": 1, "log_every_steps": 1}
    return Case(
        model="resnet18",
        channels=3,
        pixels=32,
        device=args.device,
        precision="bf16",
        channels_last=True,
        augmented=True,
        **(small if args.cpu_smoke else size),
    )


def large(args: argparse.Namespace) -> list[Comparison]:
    case = resnet18(args)
    slow = lightning(case, workers=args.workers)
    anchors = [
        Contender("hand-written loop", by_hand(case), Goal(">=", 0.97)),
        Contender(f"Lightning, {args.workers} workers", slow, Goal(">=", 2), needs="lightning"),
    ]
    what = f"step of resnet18, batch {case.batch_size}, bf16 channels_last"
    return _compared(what, ours(case), anchors, args)


def graphs(model: str, args: argparse.Namespace) -> list[Comparison]:
    size = {"batch_size": 128, "samples": 51_200, "steps": 2000, "first": 500}
    small = {"batch_size": 8, "samples": 32, "steps": 20, "first": 10}
    case = Case(model=model, channels=1, pixels=28, device=args.device, **(small if args.cpu_smoke else size))
    what = f"step of {model}, batch {case.batch_size}, compile={args.compile}"
    eager = Contender("eager loop", by_hand(case), Goal(">=", 3))
    return _compared(what, ours(case, compile=args.compile), [eager], args)


def places(args: argparse.Namespace) -> list[Comparison]:
    case = resnet18(args)
    anchor = Contender("resident=device", ours(case, resident="device"))
    what = f"step of resnet18, batch {case.batch_size}, resident=host"
    return _compared(what, ours(case, resident="host"), [anchor], args)


def airbench(args: argparse.Namespace) -> list[Comparison]:
    """The package needs CUDA: on the CPU there is ours alone."""
    size = {"batch_size": 2000, "samples": 50_000, "epochs": 16}
    small = {"batch_size": 4, "samples": 8, "epochs": 2}
    now = small if args.cpu_smoke else size
    every = now["samples"] // now["batch_size"]  # steps of an epoch
    data = (f"dataset.train_size={now['samples']}", "dataset.valid_size=8", "dataset.test_size=8")
    cfg = configured(
        *("experiment=cifar10_airbench94", "dataset=synthetic", "~dataset.valid_fraction", *data),
        epochs=now["epochs"],
        evaluate_every_epochs=now["epochs"],
        save_every_epochs=now["epochs"],
        log_every_steps=every,
        batch_size=now["batch_size"],
        device=args.device,
    )
    count = (now["epochs"] - 1) * every

    def mine() -> float:
        return took_s(cfg, first_step=every, last_step=now["epochs"] * every) / count

    def package() -> float:
        from anchors import airbench_loop

        return airbench_loop.step_s(**now)

    theirs = Contender("the package (SGD)", package, Goal("<=", 1.05), needs="airbench")
    alone = Contender("itself", mine)
    anchors = [alone] if args.cpu_smoke else [theirs]
    return _compared(f"step of cifar10_airbench94, batch {now['batch_size']}", mine, anchors, args)


def _compared(
    what: str, mine: Callable[[], float], anchors: Sequence[Contender], args: argparse.Namespace
) -> list[Comparison]:
    contender = Contender("ours", mine)
    return compared(what, contender, anchors, rounds=args.rounds, warmup=args.warmup, seed=args.seed)


CASES: dict[str, Callable[[argparse.Namespace], list[Comparison]]] = {
    "resnet18": large,
    "mlp": lambda args: graphs("mlp", args),
    "lenet": lambda args: graphs("lenet", args),
    "resident": places,
    "airbench": airbench,
}


def main(argv: Sequence[str] | None = None) -> int:
    options = parser(__doc__, rounds=5, warmup=1)
    options.add_argument("--only", nargs="+", choices=list(CASES), default=list(CASES))
    options.add_argument("--workers", type=int, default=8, help="of Lightning's DataLoader")
    options.add_argument("--compile", default="reduce-overhead", help="of ours, for mlp and lenet")
    options.add_argument("--cpu-smoke", action="store_true", help="tiny, not compiled, on the CPU")
    args = options.parse_args(argv)
    args.device = "cpu" if args.cpu_smoke else "cuda"
    if args.cpu_smoke:
        args.compile, args.workers = "off", 0
    elif not torch.cuda.is_available():
        print("gpu.py needs a CUDA device that torch can use; --cpu-smoke runs tiny sizes without")
        return 1
    found = [comparison for name in args.only for comparison in CASES[name](args)]
    return report(found, args, device=args.device)


if __name__ == "__main__":
    sys.exit(main())
