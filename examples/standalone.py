"""Training without a configuration: python examples/standalone.py."""

import torch
from sklearn.datasets import load_digits
from torch import nn

from runner import Classification, train
from runner.metrics import accuracy

torch.manual_seed(0)
images, labels = (torch.from_numpy(array) for array in load_digits(return_X_y=True))
images = images.float() / 16
model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
task = Classification(model, nn.CrossEntropyLoss())
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
parts = {"data": (images[:1400], labels[:1400]), "test": (images[1400:], labels[1400:])}
result = train(task, optimizer, **parts, epochs=10, metrics={"accuracy": accuracy(num_classes=10)})
print(result.metrics)  # {"test/loss": …, "test/accuracy": …}
