"""Data modules that trip a search: factories that a study file names. All hold scikit-learn's digits, [1, 8, 8]."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from sklearn.datasets import load_digits
from torch.nn.functional import one_hot
from torch.utils.data import DataLoader, Subset, TensorDataset


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = load_digits(return_X_y=True)
    return torch.tensor(images).float().reshape(-1, 1, 8, 8) / 16, torch.tensor(labels)


class Module(pl.LightningDataModule):
    """Samples of any sequence, the first to train, the next to validate."""

    def __init__(self, items: Any, *, train: int = 120, validate: int = 80, batch: int = 40, **attributes: Any) -> None:
        super().__init__()
        self.train, self.validate = Subset(items, range(train)), Subset(items, range(train, train + validate))
        self.batch = batch
        for name, value in attributes.items():
            setattr(self, name, value)

    def train_dataloader(self) -> Any:
        return DataLoader(self.train, self.batch, shuffle=True)

    def val_dataloader(self) -> Any:
        return DataLoader(self.validate, self.batch)


def with_labels(change: Any, **keywords: Any) -> Module:
    images, labels = digits()
    return Module(TensorDataset(images, change(labels)), **{"num_classes": 10, **keywords})


def plain() -> Module:
    return with_labels(lambda y: y)


def hot() -> Module:
    return with_labels(lambda y: one_hot(y, 10).float(), train=600)


def no_validation() -> Module:
    return with_labels(lambda y: y, validate=0)


def dictionaries() -> Module:
    return Module([{"image": image, "label": label} for image, label in zip(*digits(), strict=True)], num_classes=10)


def labels_from_one() -> Module:
    return with_labels(lambda y: y + 1)


def last_of_one() -> Module:
    return with_labels(lambda y: y, train=121)


def rare() -> Module:
    """880 samples of one class, 20 of the other, mixed."""
    images, labels = digits()
    three = (labels == 3).long()
    chosen = torch.cat([(three == 0).nonzero()[:880, 0], (three == 1).nonzero()[:20, 0]])
    chosen = chosen[torch.randperm(len(chosen), generator=torch.Generator().manual_seed(0))]
    return Module(TensorDataset(images[chosen], three[chosen]), train=600, validate=300, num_classes=2)


def regression() -> Module:
    return with_labels(lambda y: y.float()[:, None] / 10, num_classes=None)


# their siblings


def triples() -> Module:
    images, labels = digits()
    return Module(TensorDataset(images, labels, torch.arange(len(labels))), num_classes=10)


def several_validations() -> Module:
    module = plain()
    module.val_dataloader = lambda: [DataLoader(module.validate, 40), DataLoader(module.train, 40)]  # type: ignore[method-assign]
    return module


def bytes_() -> Module:
    images, labels = digits()
    return Module(TensorDataset((images * 255).to(torch.uint8), labels), num_classes=10)


def one_unlabelled() -> Module:
    return with_labels(lambda y: torch.where(torch.arange(len(y)) % 7 == 0, 255, y))


def negative() -> Module:
    return with_labels(lambda y: y - 3)


def empty_training() -> Module:
    return with_labels(lambda y: y, train=0)


def batches_of_one() -> Module:
    return with_labels(lambda y: y, train=20, batch=1)


def arrays() -> Module:
    module = plain()
    module.train_dataloader = lambda: DataLoader(module.train, 40, collate_fn=_as_arrays)  # type: ignore[method-assign]
    return module


def _as_arrays(samples: Any) -> Any:
    images, labels = zip(*samples, strict=True)
    return torch.stack(images).numpy(), torch.stack(labels).numpy()


def not_numbers() -> Module:
    return with_labels(lambda y: torch.where(y == 3, torch.nan, y.float())[:, None], num_classes=1)


def holes_in_images() -> Module:
    images, labels = digits()
    images[5, 0, 3] = torch.nan
    return Module(TensorDataset(images, labels), num_classes=10)


def wrong_shape() -> Module:
    return with_labels(lambda y: y, input_shape=(1, 16, 16))


def raises() -> Module:
    class Broken(torch.utils.data.Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return 200

        def __getitem__(self, index: int) -> Any:
            return {"a": 1}["b"]

    return Module(Broken(), num_classes=10, input_shape=(1, 8, 8))


def shared() -> Module:
    """A quarter of the validation samples are training samples."""
    images, labels = digits()
    order = torch.cat([torch.arange(120), torch.arange(20), torch.arange(120, 180)])
    return Module(TensorDataset(images[order], labels[order]), num_classes=10)


def multilabel() -> Module:
    return with_labels(lambda y: torch.stack([y % 2 == 0, y > 4, y % 3 == 0], 1).float(), num_classes=None)


def one_label() -> Module:
    return with_labels(lambda y: (y > 4).long(), num_classes=1)


def nameless() -> Module:
    return with_labels(lambda y: y, num_classes=None)
