"""The data sets: shapes, splits, determinism, augmentation, and what is said when something is missing."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from evaluation_folders import write_cifar10, write_cifar100, write_imagefolder

from kas.evaluation import make_data, make_model, train
from kas.evaluation._lightning import pl
from kas.evaluation.data._memory import MemoryLoader, Split, random_flip, random_shift
from kas.evaluation.data.preprocessing import Preprocessing
from kas.evaluation.settings import DataSettings, ModelSettings, TrainingSettings
from kas.language.errors import KasError

PLAIN = Preprocessing(mode="L", size=(8, 8), mean=(0.0,), std=(1.0,), classes=())


@pytest.mark.parametrize(
    ("name", "size", "shape", "counts"),
    [
        ("digits", None, (1, 16, 16), (1079, 359, 359)),
        ("digits", 8, (1, 8, 8), (1079, 359, 359)),
        ("mnist5k", None, (1, 28, 28), (3000, 1000, 1000)),
        ("mnist5k_columns", None, (28, 28), (3000, 1000, 1000)),
        ("mnist5k_columns", 56, (28, 56), (3000, 1000, 1000)),
    ],
)
def test_images_that_packages_ship(name: str, size: int | None, shape: tuple[int, ...], counts: tuple[int, int, int]) -> None:
    data = make_data(DataSettings(name=name, size=size))
    assert (data.num_classes, data.input_shape) == (10, shape)
    splits = data.splits()
    assert tuple(len(split.labels) for split in splits) == counts
    inputs, labels = next(iter(data.train_dataloader()))
    assert inputs.shape == (64, *shape)
    assert inputs.dtype == torch.float32
    assert labels.shape == (64,)
    assert inputs.stride() == torch.empty(inputs.shape).stride()  # also where there is one channel
    assert abs(float(inputs.mean())) < 0.3
    assert 0.6 < float(inputs.std()) < 1.4
    for split in splits[1:]:
        assert (np.bincount(split.labels) / len(split.labels)).min() > 0.08  # stratified


def test_photographs_of_solar_cells_are_imbalanced() -> None:
    data = make_data(DataSettings(name="elpv"))
    assert (data.num_classes, data.input_shape) == (2, (1, 48, 48))
    splits = data.splits()
    assert [len(split.labels) for split in splits] == [1575, 525, 524]
    for split in splits:
        assert 0.68 < float((split.labels == 0).float().mean()) < 0.70
    assert splits.train.inputs.stride() == (48 * 48, 48 * 48, 48, 1)
    inputs = torch.cat([inputs for inputs, _ in data.val_dataloader()])
    assert abs(float(inputs.mean())) < 0.1
    assert 0.8 < float(inputs.std()) < 1.2


def test_recordings_of_a_watch_are_split_by_people() -> None:
    data = make_data(DataSettings(name="watch", size=64))
    assert (data.num_classes, data.input_shape) == (7, (6, 64))
    whole = make_data(DataSettings(name="watch", size=900))
    assert [len(split.labels) > 0 for split in whole.splits()] == [True] * 3
    inputs = torch.cat([inputs for inputs, _ in data.train_dataloader()])
    assert inputs.mean((0, 2)).abs().max() < 0.1
    assert inputs.std((0, 2)).sub(1).abs().max() < 0.15
    with pytest.raises(KasError, match=r"data\.size is 100000"):
        make_data(DataSettings(name="watch", size=100_000)).splits()


def test_another_file_than_the_known_one_is_not_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "bang",))

    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "watch_dataset.npy").write_bytes(pickle.dumps(Bomb()))
    found = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr("kas.evaluation.data._packaged.find_spec", lambda module: found)
    with pytest.raises(KasError, match=r"is not the file of seglearn 1\.2\.5"):
        make_data(DataSettings(name="watch")).splits()
    assert not (tmp_path / "bang").exists()


@pytest.mark.parametrize(("name", "package"), [("elpv", "elpv-dataset"), ("watch", "seglearn")])
def test_a_data_set_whose_package_is_missing(name: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kas.evaluation.data._packaged.find_spec", lambda module: None)
    with pytest.raises(KasError, match=rf"{package}, which is not installed: pip install \"kas\[{name}\]\""):
        make_data(DataSettings(name=name))


def test_cluttered_scenes_are_colourful_balanced_and_the_same_each_time() -> None:
    settings = DataSettings(name="cluttered", train_samples=300, val_samples=100)
    first, second = make_data(settings), make_data(settings)
    assert first.input_shape == (3, 32, 32)
    for one, other in zip(first.splits(), second.splits(), strict=True):
        assert torch.equal(one.inputs, other.inputs)
        assert torch.equal(one.labels, other.labels)
    inputs, labels = first.splits()[0].inputs, first.splits()[0].labels
    assert inputs.shape == (300, 3, 32, 32)
    assert np.bincount(labels).min() > 10
    colours = inputs.float().std((0, 2, 3))
    assert bool((colours > 30).all())


def test_samples_can_be_cut_and_stay_balanced() -> None:
    data = make_data(DataSettings(train_samples=100, val_samples=20, test_samples=30))
    assert np.bincount(data.splits()[0].labels).tolist() == [10] * 10
    assert np.bincount(data.splits()[1].labels).tolist() == [2] * 10
    assert np.bincount(data.splits()[2].labels).tolist() == [3] * 10
    with pytest.raises(KasError, match=r"data\.train_samples is 5000, but the data set has only 1079 samples"):
        make_data(DataSettings(train_samples=5000)).splits()


def test_order_and_augmentation_follow_from_seed_and_epoch() -> None:
    split = Split(torch.randint(0, 256, (50, 1, 8, 8), dtype=torch.uint8), torch.arange(50))

    def loaded(seed: int, epoch: int) -> torch.Tensor:
        loader = MemoryLoader(split, 16, PLAIN, epoch=lambda: epoch, seed=seed, augment=random_shift(2))
        return torch.cat([inputs for inputs, _ in loader])

    assert torch.equal(loaded(1, 3), loaded(1, 3))
    assert not torch.equal(loaded(1, 3), loaded(1, 4))
    assert not torch.equal(loaded(1, 3), loaded(2, 3))
    plain = MemoryLoader(split, 16, PLAIN)
    assert len(plain) == 4
    assert torch.equal(torch.cat([labels for _, labels in plain]), split.labels)
    assert torch.allclose(torch.cat([inputs for inputs, _ in plain]), split.inputs / 255)


def test_augmentations_move_and_mirror_each_image_by_itself() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.zeros(200, 1, 7, 7, dtype=torch.uint8)
    images[:, 0, 3, 3] = 255
    moved = random_shift(2)(images, generator)
    places = {tuple(place.tolist()[2:]) for place in moved.nonzero()}
    assert len(moved.nonzero()) == 200
    assert places == {(row, column) for row in range(1, 6) for column in range(1, 6)}
    sequences = torch.arange(1, 10).repeat(100, 2, 1)
    assert {int(row[0, 4]) for row in random_shift(1)(sequences, generator)} == {4, 5, 6}
    flipped = random_flip(torch.arange(4.0).expand(100, 1, 1, 4), generator)
    assert {int(image[0, 0, 0]) for image in flipped} == {0, 3}


def test_augmentation_can_be_turned_off() -> None:
    data = make_data(DataSettings(augment=False))
    inputs = torch.cat([inputs for inputs, _ in data.train_dataloader()])
    assert torch.allclose(inputs.sum(), (data.splits()[0].inputs / 255 - 0.3).sum() / 0.35, rtol=1e-3)


@pytest.mark.parametrize("name", ["digits", "cifar10", "imagefolder"])
def test_only_training_images_are_augmented(name: str, tmp_path: Path) -> None:
    root = {"digits": None, "cifar10": write_cifar10, "imagefolder": write_imagefolder}[name]
    folder = None if root is None else str(root(tmp_path))
    plain, augmented = (make_data(DataSettings(name=name, root=folder, size=16, augment=augment)) for augment in (False, True))
    for split in ("val", "test"):
        one, other = (torch.cat([inputs for inputs, _ in getattr(d, f"{split}_dataloader")()]) for d in (plain, augmented))
        assert torch.equal(one, other)
    one, other = (next(iter(data.train_dataloader()))[0] for data in (plain, augmented))
    assert not torch.equal(one, other)  # of the same samples in the same order


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "imagefolder"])
def test_sets_on_disk_train_an_epoch(name: str, tmp_path: Path) -> None:
    write = {"cifar10": write_cifar10, "cifar100": write_cifar100, "imagefolder": write_imagefolder}[name]
    root = write(tmp_path / "data")
    size = 32 if name == "imagefolder" else None
    data = make_data(DataSettings(name=name, root=str(root), batch_size=16, size=size))
    assert (data.num_classes, data.input_shape) == (
        {"cifar10": 10, "cifar100": 100, "imagefolder": 3}[name],
        (3, 32, 32),
    )
    model = make_model(ModelSettings(args={"width": 4}), data.num_classes, data.input_shape)
    result = train(model, data, TrainingSettings(epochs=1), folder=tmp_path / "run", device="cpu")
    assert result.epochs == 1
    assert 0 <= result.accuracy <= 1


def test_imagefolder_draws_crops_from_seed_and_epoch_with_any_number_of_workers(tmp_path: Path) -> None:
    root = write_imagefolder(tmp_path)
    batches = []
    for workers in (0, 1):
        data = make_data(DataSettings(name="imagefolder", root=str(root), size=16, workers=workers, batch_size=18))
        data.seed = 5
        batches.append(next(iter(data.train_dataloader()))[0])
    assert torch.equal(*batches)
    data = make_data(DataSettings(name="imagefolder", root=str(root), size=16, train_samples=6))
    assert sum(len(labels) for _, labels in data.train_dataloader()) == 6


def test_a_cifar_file_cannot_run_code(tmp_path: Path) -> None:
    class Bad:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "harm"),)

    root = write_cifar10(tmp_path)
    file = root / "cifar-10-batches-py" / "data_batch_1"
    file.write_bytes(pickle.dumps({"data": Bad(), "labels": []}))
    with pytest.raises(KasError, match=r"data_batch_1 is no CIFAR10 batch file: it contains posix\.mkdir"):
        make_data(DataSettings(name="cifar10", root=str(root))).splits()
    assert not (tmp_path / "harm").exists()
    file.write_bytes(b"nonsense")
    with pytest.raises(KasError, match="fetch the data set again"):
        make_data(DataSettings(name="cifar10", root=str(root))).splits()


def test_missing_data_names_the_folder_and_the_fix(tmp_path: Path) -> None:
    with pytest.raises(KasError, match=r"cifar10 needs data\.root"):
        make_data(DataSettings(name="cifar10"))
    with pytest.raises(KasError) as error:
        make_data(DataSettings(name="cifar100", root=str(tmp_path)))
    assert str(tmp_path / "cifar-100-python") in str(error.value)
    assert "data.download: true" in str(error.value)
    with pytest.raises(KasError) as error:
        make_data(DataSettings(name="imagefolder", root=str(tmp_path / "nowhere")))
    assert str(tmp_path / "nowhere" / "train") in str(error.value)
    assert "train/CLASS/" in str(error.value)
    with pytest.raises(KasError, match="did you mean 'digits'"):
        make_data(DataSettings(name="digit"))


class _Own(pl.LightningDataModule):
    num_classes = 3

    def train_dataloader(self) -> Any:
        return torch.utils.data.DataLoader([(torch.zeros(5, 7), 0)] * 2, batch_size=2)


def own(size: int = 1) -> Any:
    """A factory of this file, by its name."""
    return {1: _Own(), 2: object()}[size]


def test_the_users_own_data() -> None:
    data = make_data(DataSettings(factory=f"{__name__}:own"))
    assert (data.num_classes, data.input_shape) == (3, (5, 7))
    for factory, args, message in (
        (f"{__name__}:own", {"size": 2}, "returned a object; a pytorch_lightning.LightningDataModule is needed"),
        (f"{__name__}:own", {"sise": 2}, "does not take these arguments"),
        (f"{__name__}:owm", {}, "has no function owm; did you mean 'own'?"),
        ("no_such_module:own", {}, "there is no module no_such_module"),
    ):
        with pytest.raises(KasError) as error:
            make_data(DataSettings(factory=factory, factory_args=args))
        assert message in str(error.value)
        assert "data.factory" in str(error.value)
