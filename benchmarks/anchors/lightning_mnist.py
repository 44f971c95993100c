"""Data and model of lightning-hydra-template: https://github.com/ashleve/lightning-hydra-template."""

import torch
from lightning import LightningDataModule, LightningModule
from torch import nn
from torch.utils.data import DataLoader, random_split
from torchmetrics import MaxMetric, MeanMetric
from torchmetrics.classification.accuracy import Accuracy
from torchvision.datasets import MNIST
from torchvision.transforms import transforms


class DenseNet(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        layers, features = [nn.Flatten()], 28 * 28
        for width in hidden:
            layers += [nn.Linear(features, width), nn.ReLU()]
            features = width
        self.model = nn.Sequential(*layers, nn.Linear(features, 10))

    def forward(self, x):
        return self.model(x)


class MNISTDataModule(LightningDataModule):
    def __init__(self, data_dir, batch_size, num_workers):  # noqa: ARG002 - kept by save_hyperparameters
        super().__init__()
        self.save_hyperparameters(logger=False)
        self.transforms = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))])
        self.data_train = self.data_val = self.data_test = None

    def setup(self, stage=None):  # noqa: ARG002
        if self.data_train is None:
            whole = MNIST(self.hparams.data_dir, train=True, transform=self.transforms)
            generator = torch.Generator().manual_seed(42)
            self.data_train, self.data_val = random_split(whole, [0.9, 0.1], generator=generator)
            self.data_test = MNIST(self.hparams.data_dir, train=False, transform=self.transforms)

    def _loader(self, dataset, *, shuffle=False):
        workers = self.hparams.num_workers
        return DataLoader(
            dataset, self.hparams.batch_size, shuffle=shuffle, num_workers=workers, persistent_workers=workers > 0
        )

    def train_dataloader(self):
        return self._loader(self.data_train, shuffle=True)

    def val_dataloader(self):
        return self._loader(self.data_val)

    def test_dataloader(self):
        return self._loader(self.data_test)


class MNISTLitModule(LightningModule):
    def __init__(self, net, optimizer):  # noqa: ARG002
        super().__init__()
        self.save_hyperparameters(logger=False, ignore=["net"])
        self.net = net
        self.criterion = nn.CrossEntropyLoss()
        self.train_acc = Accuracy(task="multiclass", num_classes=10)
        self.val_acc = Accuracy(task="multiclass", num_classes=10)
        self.test_acc = Accuracy(task="multiclass", num_classes=10)
        self.train_loss, self.val_loss, self.test_loss = MeanMetric(), MeanMetric(), MeanMetric()
        self.val_acc_best = MaxMetric()

    def forward(self, x):
        return self.net(x)

    def on_train_start(self):
        self.val_loss.reset()
        self.val_acc.reset()
        self.val_acc_best.reset()

    def model_step(self, batch):
        x, y = batch
        logits = self.forward(x)
        return self.criterion(logits, y), logits.argmax(dim=1), y

    def training_step(self, batch, batch_idx):  # noqa: ARG002 - Lightning's names
        loss, preds, targets = self.model_step(batch)
        self.train_loss(loss)
        self.train_acc(preds, targets)
        self.log("train/loss", self.train_loss, on_step=False, on_epoch=True, prog_bar=True)
        self.log("train/acc", self.train_acc, on_step=False, on_epoch=True, prog_bar=True)
        return loss

    def validation_step(self, batch, batch_idx):  # noqa: ARG002
        loss, preds, targets = self.model_step(batch)
        self.val_loss(loss)
        self.val_acc(preds, targets)
        self.log("val/loss", self.val_loss, on_step=False, on_epoch=True, prog_bar=True)
        self.log("val/acc", self.val_acc, on_step=False, on_epoch=True, prog_bar=True)

    def on_validation_epoch_end(self):
        self.val_acc_best(self.val_acc.compute())
        self.log("val/acc_best", self.val_acc_best.compute(), sync_dist=True, prog_bar=True)

    def test_step(self, batch, batch_idx):  # noqa: ARG002
        loss, preds, targets = self.model_step(batch)
        self.test_loss(loss)
        self.test_acc(preds, targets)
        self.log("test/loss", self.test_loss, on_step=False, on_epoch=True, prog_bar=True)
        self.log("test/acc", self.test_acc, on_step=False, on_epoch=True, prog_bar=True)

    def configure_optimizers(self):
        return {"optimizer": self.hparams.optimizer(params=self.trainer.model.parameters())}
