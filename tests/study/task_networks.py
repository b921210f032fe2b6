"""What users write for a task: a module with a network and data, and the keys of the study file that they change.

`USERS` maps a name to (module, keys, task, metric); every module is written in the place of the one that `init` writes.
"""

from __future__ import annotations

HEAD = """\
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
"""

# Loaders around a function `samples(count)` of the user's.
LOADERS = """

class Data(pl.LightningDataModule):
    def train_dataloader(self):
        return DataLoader(samples(96), 16, shuffle=True)

    def val_dataloader(self):
        return DataLoader(samples(48), 16)

    test_dataloader = val_dataloader

def data():
    return Data()
"""

BODY = "[nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()]"

REGRESSION = f"""
def network():
    return nn.Sequential(*{BODY}, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 1))

def samples(count):
    images = torch.randn(count, 3, 8, 8)
    return TensorDataset(images, images.mean((1, 2, 3)))
"""

MULTILABEL = f"""
def network(num_classes):
    return nn.Sequential(*{BODY}, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, num_classes))

def samples(count):
    images = torch.randn(count, 3, 8, 8)
    return TensorDataset(images, (images.mean((2, 3)) > 0).float())
"""

SEGMENTATION = """
class UNet(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())
        self.low = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), nn.ReLU())
        self.up = nn.ConvTranspose2d(16, 8, 2, 2)
        self.head = nn.Sequential(nn.Conv2d(16, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, classes, 1))

    def forward(self, x):
        skip = self.down(x)
        return self.head(torch.cat([skip, self.up(self.low(skip))], 1))

def network():
    return UNet(3)

def samples(count):
    images = torch.randn(count, 3, 8, 8)
    masks = images.argmax(1)
    masks[:, 0] = 255
    return TensorDataset(images, masks)
"""

TWO_INPUTS = f"""
class Both(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Sequential(*{BODY}), nn.Linear(8 + 2, 2)

    def forward(self, image, age):
        return self.head(torch.cat([self.body(image).mean((2, 3)), age], 1))

network = Both

def samples(count):
    images, ages = torch.randn(count, 3, 8, 8), torch.randn(count, 2)
    labels = (images.mean((1, 2, 3)) + ages[:, 0] > 0).long()
    return [{{"image": i, "age": a, "label": l}} for i, a, l in zip(images, ages, labels)]
"""

DICTIONARY = f"""
class Named(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head, self.other = nn.Sequential(*{BODY}), nn.Linear(8, 3), nn.Linear(8, 5)

    def forward(self, x):
        x = self.body(x).mean((2, 3))
        return {{"embedding": self.other(x), "scores": self.head(x)}}

network = Named

def samples(count):
    images = torch.randn(count, 3, 8, 8)
    return TensorDataset(images, images.mean((2, 3)).argmax(1))
"""

MLP = """
def network():
    return nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 2))

def samples(count):
    rows = torch.randn(count, 12)
    return TensorDataset(rows, (rows[:, 0] > 0).long())
"""

SEQUENCES = """
def network():
    body = (nn.Conv1d(4, 8, 5, padding=2), nn.ReLU(), nn.Conv1d(8, 8, 5, padding=2), nn.ReLU())
    return nn.Sequential(*body, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(8, 3))

def samples(count):
    waves = torch.randn(count, 4, 16)
    return TensorDataset(waves, waves.mean(2).argmax(1) % 3)
"""

LIGHTNING = f"""
class Own(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Sequential(*{BODY}), nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)))

    def training_step(self, batch, index):
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch, index):
        self.log("val_error", (self(batch[0]).argmax(1) != batch[1]).float().mean())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)

network = Own

def samples(count):
    images = torch.randn(count, 3, 8, 8)
    return TensorDataset(images, images.mean((2, 3)).argmax(1))
"""

LIBRARY = """
def create_model(model_name, classes=10, **kwargs):
    assert not kwargs, kwargs
    return nn.Sequential(*[nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()],
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, classes))

def samples(count):
    images = torch.randn(count, 3, 8, 8)
    return TensorDataset(images, images.mean((2, 3)).argmax(1))
"""

USERS: dict[str, tuple[str, list[str], str, str]] = {
    "regression": (REGRESSION, [], "regression", "MeanSquaredError"),
    "another loss": (REGRESSION, ["training.loss=L1Loss", "training.metric=R2Score"], "regression", "R2Score"),
    "multi-label": (MULTILABEL, [], "multilabel", "F1Score"),
    "segmentation": (SEGMENTATION, ["training.ignore_index=255"], "segmentation", "JaccardIndex"),
    "two inputs": (TWO_INPUTS, ["data.batch={inputs: [image, age], targets: label}"], "classification", "accuracy"),
    "named inputs": (
        TWO_INPUTS, ["data.batch={inputs: {age: age, image: image}, targets: label}"], "classification", "accuracy",
    ),
    "dictionary": (DICTIONARY, ["model.output=scores"], "classification", "accuracy"),
    "mlp": (MLP, ["targets.types=[Linear]", "search.seeds=[low_rank_linear]"], "classification", "accuracy"),
    "sequences": (SEQUENCES, ["search.seeds=[depthwise_separable1d]"], "classification", "accuracy"),
    "lightning": (LIGHTNING, ["training.metric=val_error", "training.direction=minimize"], "custom", "val_error"),
    "library": (
        LIBRARY, ["model.factory=mine:create_model", "model.args={model_name: a, classes: 3}"], "classification", "accuracy",
    ),
}  # fmt: skip
