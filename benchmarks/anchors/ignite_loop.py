"""The same loop with PyTorch-Ignite."""

from ignite.engine import create_supervised_trainer


def train(model, optimizer, criterion, batches):
    trainer = create_supervised_trainer(model, optimizer, criterion)
    trainer.run(batches, max_epochs=1)
