"""Steps of airbench94 as its package takes them, on random images: https://github.com/KellerJordan/cifar10-airbench.

SGD with Nesterov momentum and lookahead, half precision, channels_last. The package finds its data as files in the
current folder, and needs CUDA.
"""

import contextlib
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import airbench
import torch

AUGMENTATION = {"flip": True, "translate": 2}


def step_s(*, samples, batch_size, epochs):
    """Seconds of a step: what ``epochs`` more take than one does, which leaves out the setting up."""
    with TemporaryDirectory() as folder, contextlib.chdir(folder):
        _write_random(Path("cifar10"), train=samples, test=2000)
        loader = airbench.CifarLoader("cifar10", batch_size=batch_size, aug=AUGMENTATION, altflip=True)
        airbench.train94(loader, epochs=1, verbose=False)  # kernels are picked
        one_s, more_s = _took_s(loader, 1), _took_s(loader, 1 + epochs)
    return (more_s - one_s) / (epochs * len(loader))


def _took_s(loader, epochs):
    started_s = time.perf_counter()
    airbench.train94(loader, epochs=epochs, verbose=False)
    torch.cuda.synchronize()
    return time.perf_counter() - started_s


def _write_random(folder, **sizes):
    folder.mkdir()
    for part, size in sizes.items():
        images, labels = torch.randint(0, 256, (size, 32, 32, 3), dtype=torch.uint8), torch.randint(10, (size,))
        torch.save({"images": images, "labels": labels, "classes": list("0123456789")}, folder / f"{part}.pt")
