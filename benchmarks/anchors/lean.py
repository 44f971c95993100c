"""What any process that trains with torch has to do: import it, take one step."""

import torch
from torch import nn

model = nn.Sequential(nn.Flatten(), nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 10))
images, labels = torch.randn(64, 1, 28, 28), torch.randint(10, (64,))
nn.functional.cross_entropy(model(images), labels).backward()
with torch.no_grad():
    for parameter in model.parameters():
        parameter -= 0.01 * parameter.grad
