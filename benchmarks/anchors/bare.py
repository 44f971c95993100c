"""The loop that nobody needs a runner for."""


def train(model, optimizer, criterion, batches):
    model.train()
    for images, labels in batches:
        optimizer.zero_grad()
        loss = criterion(model(images), labels)
        loss.backward()
        optimizer.step()
