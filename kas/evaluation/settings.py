"""The evaluation sections of a study file, as documented and checked dataclasses. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from kas.evaluation._checks import above, at_least, count, is_factory, literals, nearest, one_of, within
from kas.language.errors import KasError

__all__ = [
    "CostSettings",
    "DataName",
    "DataSettings",
    "HealthSettings",
    "MemoryFormat",
    "ModelSettings",
    "RuntimeName",
    "TaskName",
    "TrainingSettings",
    "nearest",
]

DataName = Literal["digits", "mnist5k", "mnist5k_columns", "cluttered", "cifar10", "cifar100", "imagefolder", "elpv", "watch"]
Precision = Literal["32-true", "bf16-mixed", "16-mixed", "bf16-true", "16-true", "64-true"]
OptimizerName = Literal["adamw", "sgd"]
InitialWeights = Literal["scratch", "original"]
TaskName = Literal["auto", "classification", "multilabel", "segmentation", "regression", "custom"]
Direction = Literal["maximize", "minimize"]
RuntimeName = Literal["eager", "compile", "onnxruntime"]
MemoryFormat = Literal["auto", "contiguous", "channels_last"]


@dataclass
class DataSettings:
    """What networks are trained and validated on.

    Args:
        name: digits, mnist5k, cluttered, mnist5k_columns (1-D), cifar10, cifar100, imagefolder; elpv (photographs of solar
            cells, not for commercial use; pip install "kas[elpv]"), watch (1-D, sensors; "kas[watch]"). Unused with a factory.
        root: Folder of a data set that lives on disk (cifar10, cifar100, imagefolder). Of imagefolder: with train/CLASS,
            val/CLASS and, if there is one, test/CLASS; without, val is the test split and a tenth of train validates.
        download: Whether a missing data set may be fetched into root (cifar10, cifar100).
        size: Side of the images in pixels (of sequences: their length). By default the data set's own.
        batch_size: Samples in a training batch.
        eval_batch_size: Samples in a validation batch.
        train_samples: Use only so many training samples, balanced over classes. For cluttered: scenes to compose.
        val_samples: The same for validation.
        test_samples: The same for the test, which `promote` alone looks at.
        augment: Random shifts, crops and flips of the training images, whatever suits the data set.
        workers: Loader processes (imagefolder alone; the other sets are held in memory and need none).
        factory: "package.module:function" that returns your own LightningDataModule. Its attributes num_classes (outputs
            of the network) and input_shape (of one sample) are handed to the network; what is missing is read off a batch.
        factory_args: Keyword arguments of factory.
        batch: Where the parts of a batch are that is not a pair, as in {inputs: image, targets: label}: keys or positions.
            inputs: a list for several positional arguments of the network, a mapping for named ones.
    """

    name: DataName = "digits"
    root: str | None = None
    download: bool = False
    size: int | None = None
    batch_size: int = 64
    eval_batch_size: int = 256
    train_samples: int | None = None
    val_samples: int | None = None
    test_samples: int | None = None
    augment: bool = True
    workers: int = 0
    factory: str | None = None
    factory_args: dict[str, Any] = field(default_factory=dict)
    batch: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.batch and set(self.batch) != {"inputs", "targets"}:
            raise KasError(f"data.batch is {self.batch!r}; it must be a mapping with the keys inputs and targets")
        literals("data", self)
        for key in ("size", "batch_size", "eval_batch_size", "train_samples", "val_samples", "test_samples"):
            count("data", key, getattr(self, key), 1)
        count("data", "workers", self.workers, 0)
        is_factory("data.factory", self.factory)


@dataclass
class ModelSettings:
    """The network whose convolutions are replaced.

    Args:
        name: small_resnet, small_convnext, small_vit, small_conv1d, mlp or any torchvision classifier (resnet18, ...).
            Unused with a factory.
        factory: "package.module:function" that returns your own network (with its weights).
            It is given num_classes and input_shape if it names them.
        args: Keyword arguments of the network, such as width, blocks and stages of small_resnet.
        output: Key (or position) of the output to train, where the network returns several. null: the first of a tuple, the
            key out or logits of a dictionary.
    """

    name: str = "small_resnet"
    factory: str | None = None
    args: dict[str, Any] = field(default_factory=dict)
    output: str | None = None

    def __post_init__(self) -> None:
        is_factory("model.factory", self.factory)


@dataclass
class TrainingSettings:
    """How a network is trained, the original and every candidate alike.

    Args:
        epochs: Passes over the training data.
        optimizer: adamw or sgd.
        lr: Peak learning rate.
        weight_decay: Decay of weights with two or more axes; norms and biases have none.
        momentum: Momentum of sgd (Nesterov).
        warmup: Fraction of all steps in which the learning rate rises; it then falls along a cosine.
        label_smoothing: Probability mass spread over all classes, where the loss has it.
        gradient_clip: Largest norm of a step's gradient; 0 does not clip.
        precision: 32-true, bf16-mixed, 16-mixed, bf16-true, 16-true or 64-true.
        init: scratch, or original: unreplaced layers start from the trained original's weights.
        time_limit_s: Seconds of own work after which a candidate's training is a timeout; waits for device and cores are none.
        model: Overrides of model.args for the (narrower) network that is trained; {} trains the model itself.
        loss: A loss of torch.nn, such as L1Loss, or "package.module:function" that returns one. null: the task's own.
        loss_args: Keyword arguments of loss.
        class_weights: A weight for each class (of labels: for their positives) in the loss; balanced: by how rare they are in
            the training data, which is read once for it. null: none.
        ignore_index: The label of what has no label, which loss and metric leave out. null: there is none.
        metric: accuracy (top 1), a class of torchmetrics, such as F1Score or MeanAbsoluteError, "package.module:function"
            that returns a torchmetrics.Metric, or the name that a LightningModule logs. null: the task's own.
        metric_args: Keyword arguments of metric, such as {average: macro}.
        direction: maximize or minimize the metric. null: what the metric says of itself.
    """

    epochs: int = 6
    optimizer: OptimizerName = "adamw"
    lr: float = 4e-3
    weight_decay: float = 0.05
    momentum: float = 0.9
    warmup: float = 0.15
    label_smoothing: float = 0.0
    gradient_clip: float = 1.0
    precision: Precision = "32-true"
    init: InitialWeights = "scratch"
    time_limit_s: float | None = None
    model: dict[str, Any] = field(default_factory=dict)
    loss: str | None = None
    loss_args: dict[str, Any] = field(default_factory=dict)
    class_weights: list[float] | Literal["balanced"] | None = None
    ignore_index: int | None = None
    metric: str | None = None
    metric_args: dict[str, Any] = field(default_factory=dict)
    direction: Direction | None = None

    def __post_init__(self) -> None:
        self.model = dict(self.model or {})
        count("training", "epochs", self.epochs, 1)
        literals("training", self)
        for key in ("loss", "metric"):
            if ":" in (getattr(self, key) or ""):
                is_factory(f"training.{key}", getattr(self, key))
        if isinstance(self.class_weights, str):
            one_of("training.class_weights", self.class_weights, Literal["balanced"])
        for weight in self.class_weights if isinstance(self.class_weights, list) else ():
            at_least("training", "class_weights", weight, 0)
        above("training", "lr", self.lr)
        above("training", "time_limit_s", self.time_limit_s)
        for key in ("weight_decay", "gradient_clip"):
            at_least("training", key, getattr(self, key), 0)
        for key in ("momentum", "warmup", "label_smoothing"):
            within("training", key, getattr(self, key), 0, 1)


@dataclass
class CostSettings:
    """How latency is measured, and on which network: the one that will be deployed.

    Args:
        model: Overrides of model.args for the deployed network; {} measures the model itself.
        size: Input side of the deployed network in pixels (of sequences: length); by default that of the data.
        batch_size: Samples in a measured batch. At batch 1 a CPU mostly counts torch calls.
        repeats: Paired, interleaved measurements.
        warmup: Forward passes of each network before the first measurement.
        min_block_ms: A measurement repeats the forward pass until it takes about so long.
        threads: CPU threads while measuring; by default torch's number.
        runtime: What the network is run in where it is deployed, and so here: eager (torch as it is), compile (Inductor, with
            frozen weights), or onnxruntime.
        other_runtimes: Whether the front is also measured in every other runtime that is installed, when a search ends.
            Inductor takes a while to compile a large network.
        memory_format: auto times the original and each candidate with channels first and with channels last, and takes
            the better of each; or contiguous, or channels_last.
        fused: Time both networks in their inference form, as kas.fuse makes it: linear parts of kernels merged, and
            BatchNorms folded into the layers before them, also in the original.
        max_ratio: A candidate that takes over max_ratio times as long as the original is too_slow and is not trained.
        time_limit_s: A measurement that takes longer stops with the repeats it has (at least three).
    """

    model: dict[str, Any] = field(default_factory=dict)
    size: int | None = None
    batch_size: int = 32
    repeats: int = 15
    warmup: int = 2
    min_block_ms: float = 20.0
    threads: int | None = None
    runtime: RuntimeName = "eager"
    other_runtimes: bool = True
    memory_format: MemoryFormat = "auto"
    fused: bool = False
    max_ratio: float = 1.1
    time_limit_s: float = 20.0

    def __post_init__(self) -> None:
        self.model = dict(self.model or {})
        for key in ("size", "batch_size", "threads"):
            count("cost", key, getattr(self, key), 1)
        count("cost", "repeats", self.repeats, 3)
        count("cost", "warmup", self.warmup, 1)
        at_least("cost", "min_block_ms", self.min_block_ms, 0)
        literals("cost", self)
        for key in ("max_ratio", "time_limit_s"):
            above("cost", key, getattr(self, key))


@dataclass
class HealthSettings:
    """When a network is not worth training, judged before training and relative to the original network.

    Args:
        enabled: Whether to check at all.
        batch_size: Training samples that the check looks at.
        max_gradient_ratio: Largest gradient norm at the start, in norms of the original's. Training clips the norm of a step's
            gradient, so that only an explosion does harm.
        min_gradient: Smallest gradient of a weight, relative to the median weight and to the original's smallest.
        min_dependence: Smallest variation of a replaced layer's output over samples, in variations of the original's.
        max_scale: Largest scale of a replaced layer's output, in scales of the original layer's; smallest: its inverse.
    """

    enabled: bool = True
    batch_size: int = 32
    max_gradient_ratio: float = 100.0
    min_gradient: float = 1e-5
    min_dependence: float = 1e-3
    max_scale: float = 1e4

    def __post_init__(self) -> None:
        count("health", "batch_size", self.batch_size, 2)
        for key in ("max_gradient_ratio", "max_scale"):
            above("health", key, getattr(self, key))
        for key in ("min_gradient", "min_dependence"):
            at_least("health", key, getattr(self, key), 0)
