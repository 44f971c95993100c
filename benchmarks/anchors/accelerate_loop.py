"""The same loop with Hugging Face accelerate."""

from accelerate import Accelerator


def train(model, optimizer, criterion, batches):
    accelerator = Accelerator(cpu=True)
    model, optimizer = accelerator.prepare(model, optimizer)
    model.train()
    for images, labels in batches:
        optimizer.zero_grad()
        loss = criterion(model(images), labels)
        accelerator.backward(loss)
        optimizer.step()
