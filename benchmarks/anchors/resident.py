"""Batches of tensors that are on the device already, as one writes them by hand, and when they were taken."""

import time

import torch


class ResidentBatches:
    """``steps`` shuffled batches; ``window_s`` is the time from batch ``first`` to the last one's arrival.

    ``prepare`` makes what the model takes from uint8 images (B, C, H, W).
    """

    def __init__(self, images, labels, *, batch_size, steps, first, prepare):
        self.images, self.labels = images, labels
        self.batch_size, self.steps, self.first = batch_size, steps, first
        self.prepare = prepare
        self.began_s = self.ended_s = 0.0

    def __len__(self):
        return self.steps

    def __iter__(self):
        step = 0
        while True:
            order = torch.randperm(len(self.labels), device=self.labels.device)
            for index in order.split(self.batch_size):
                if step == self.steps:
                    return
                if step == self.first:
                    self.began_s = self._now_s()
                elif step == self.steps - 1:
                    self.ended_s = self._now_s()
                yield self.prepare(self.images.index_select(0, index)), self.labels.index_select(0, index)
                step += 1

    def _now_s(self):
        if self.images.is_cuda:
            torch.cuda.synchronize()
        return time.perf_counter()

    @property
    def step_s(self):
        """Seconds of a step, from batch ``first`` on."""
        return (self.ended_s - self.began_s) / (self.steps - 1 - self.first)


class Normalise:
    """(x / 255 - mean) / std for each channel, in float32."""

    def __init__(self, mean, std, device="cpu"):
        self.mean = 255 * torch.tensor(mean, device=device).view(-1, 1, 1)
        self.std = 255 * torch.tensor(std, device=device).view(-1, 1, 1)

    def __call__(self, images):
        return (images - self.mean).div_(self.std)
