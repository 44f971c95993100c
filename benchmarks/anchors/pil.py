"""Images as torchvision's data sets give them: PIL, crop and flip, one at a time, in DataLoader's workers."""

from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import Compose, Normalize, RandomCrop, RandomHorizontalFlip, ToTensor


class ImageArray(Dataset):
    """uint8 images (N, H, W) or (N, H, W, 3), numpy, like torchvision's MNIST and CIFAR10 hold and read them."""

    def __init__(self, images, labels, transform):
        self.images, self.labels, self.transform = images, labels, transform

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return self.transform(Image.fromarray(self.images[index])), int(self.labels[index])


def loader(images, labels, *, mean, std, padding, batch_size, workers, pin_memory=False):
    transform = Compose(
        [RandomCrop(images.shape[1], padding=padding), RandomHorizontalFlip(), ToTensor(), Normalize(mean, std)]
    )
    return DataLoader(
        ImageArray(images, labels, transform),
        batch_size,
        shuffle=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=pin_memory,
    )
