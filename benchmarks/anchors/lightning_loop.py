"""The same loop with Lightning: no progress bar, no checkpoints, no validation; CSV and TensorBoard every 10 steps."""

import logging
import time
import warnings

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

for name in ("lightning.pytorch", "lightning.fabric"):
    logging.getLogger(name).setLevel(logging.ERROR)


class Classifier(LightningModule):
    def __init__(self, model, optimizer, criterion, memory_format):
        super().__init__()
        self.model, self.criterion = model.to(memory_format=memory_format), criterion
        self.optimizer, self.memory_format = optimizer, memory_format

    def training_step(self, batch, batch_idx):  # noqa: ARG002 - Lightning's names
        images, labels = batch
        loss = self.criterion(self.model(images.to(memory_format=self.memory_format)), labels)
        self.log("train/loss", loss)
        return loss

    def configure_optimizers(self):
        return self.optimizer


class EpochClock(Callback):
    """Seconds of the last epoch."""

    def on_train_epoch_start(self, trainer, pl_module):  # noqa: ARG002
        self.began_s = self._now_s()

    def on_train_epoch_end(self, trainer, pl_module):  # noqa: ARG002
        self.epoch_s = self._now_s() - self.began_s

    def _now_s(self):
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter()


def train(
    model,
    optimizer,
    criterion,
    batches,
    *,
    folder,
    epochs=1,
    accelerator="cpu",
    precision="32-true",
    memory_format=torch.contiguous_format,
):
    """Seconds of the last epoch."""
    clock = EpochClock()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = Trainer(
            max_epochs=epochs,
            accelerator=accelerator,
            devices=1,
            precision=precision,
            logger=[CSVLogger(folder), TensorBoardLogger(folder)],
            log_every_n_steps=10,
            callbacks=[clock],
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
        )
        trainer.fit(Classifier(model, optimizer, criterion, memory_format), batches)
    return clock.epoch_s
