# python conventional.py data_dir=DATA
"""A multilayer perceptron on MNIST, as scripts with Hydra, torchvision and DataLoader are written."""

import itertools
import logging
from pathlib import Path

import hydra
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from torch import nn
from torch.utils.data import DataLoader, random_split
from torchvision.datasets import MNIST
from torchvision.transforms import Compose, Normalize, ToTensor

log = logging.getLogger(__name__)


def build_model(hidden):
    layers, features = [nn.Flatten()], 28 * 28
    for width in hidden:
        layers += [nn.Linear(features, width), nn.ReLU()]
        features = width
    return nn.Sequential(*layers, nn.Linear(features, 10))


@torch.no_grad()
def evaluate(model, loader, criterion, limit):
    model.eval()
    loss, correct, count = 0.0, 0, 0
    for images, labels in itertools.islice(loader, limit):
        logits = model(images)
        loss += criterion(logits, labels).item() * len(labels)
        correct += (logits.argmax(1) == labels).sum().item()
        count += len(labels)
    return loss / count, correct / count


def train_epoch(model, loader, criterion, optimizer, cfg):
    model.train()
    for step, (images, labels) in enumerate(itertools.islice(loader, cfg.max_steps)):
        optimizer.zero_grad()
        loss = criterion(model(images), labels)
        loss.backward()
        optimizer.step()
        if step % cfg.log_every_steps == 0:
            log.info("step %d: loss %.4f", step, loss.item())


@hydra.main(version_base="1.3", config_path="conf", config_name="conventional")
def main(cfg: DictConfig) -> None:
    folder = Path(HydraConfig.get().runtime.output_dir)
    torch.manual_seed(cfg.seed)
    transform = Compose([ToTensor(), Normalize((0.1307,), (0.3081,))])
    train_set, valid_set = random_split(MNIST(cfg.data_dir, train=True, transform=transform), [0.9, 0.1])
    test_set = MNIST(cfg.data_dir, train=False, transform=transform)
    train_loader = DataLoader(train_set, cfg.batch_size, shuffle=True, num_workers=cfg.workers)
    valid_loader = DataLoader(valid_set, 512, num_workers=cfg.workers)
    test_loader = DataLoader(test_set, 512, num_workers=cfg.workers)

    model, criterion = build_model(cfg.hidden), nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=cfg.lr)
    for epoch in range(cfg.epochs):
        train_epoch(model, train_loader, criterion, optimizer, cfg)
        loss, accuracy = evaluate(model, valid_loader, criterion, cfg.max_eval_batches)
        log.info("epoch %d: valid loss %.4f, accuracy %.4f", epoch, loss, accuracy)
        torch.save(
            {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch}, folder / "last.pt"
        )
    loss, accuracy = evaluate(model, test_loader, criterion, cfg.max_eval_batches)
    log.info("test loss %.4f, accuracy %.4f", loss, accuracy)


if __name__ == "__main__":
    main()
