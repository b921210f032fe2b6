"""Every key of a study file has an effect: two values of it, and what they come to where they act.

The table is total over the configuration: a key without a row fails, and so does a row of a key that is not there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from effect_data import (
    HERE,
    KIND,
    SHAPE,
    SHAPE_OF_DATA,
    STEMS,
    TARGETS,
    augmented,
    batches,
    counts,
    data,
    downloaded,
    of_targets,
    other_runtimes,
    stored,
    within,
)  # fmt: skip
from effect_observations import (
    Observe,
    begun,
    config,
    counted,
    decays,
    groups,
    health,
    initial,
    limited,
    loss,
    losses,
    measured,
    momentum,
    on_bench,
    rates,
    timed,
)  # fmt: skip
from effect_search import SEEDS, draws, every, first, generations, kinds, largest, proposed, reach, sampler, union, use, widths
from kernel_facts import most_open, ops, weighted

from kas import zoo
from kas.generation.moves import is_local
from kas.language import KasError
from kas.study import schema
from kas.study.config import StudyConfig
from kas.study.storage import records
from kas.study.workers.preflight import objective

DIFFERENT = object()  # in the place of what two values come to: they differ, that is all


@dataclass(frozen=True)
class Row:
    """Two values of a key, what each comes to, and the values of other keys that this needs."""

    key: str
    values: tuple[Any, Any]
    expected: Any
    observe: Observe
    others: Mapping[str, Any] = field(default_factory=dict)


def hashes(*seeds: str) -> list[str]:
    return [zoo.get(name).hash for name in seeds]


HERE_DATA, HERE_NETWORK = f"{HERE}:own_data", f"{HERE}:own_network"
OWN = {"model.factory": HERE_NETWORK}  # 0: stem, 1: depthwise, 2: 1x1, 3: 5x5
WIDE = {"model.args": {"width": 16, "stages": 2}}
SMALL = {"data.train_samples": 20, "data.val_samples": 8}
CIFAR10, ON_DISK = {"data.name": "cifar10", **SMALL}, {"data.root": "files", **SMALL}
FOLDER = {**ON_DISK, "data.name": "imagefolder", "data.train_samples": 30, "data.val_samples": 3}
LINEAR, BLOCKS = {"targets.types": ["Conv2d", "Linear"]}, {"targets.types": ["BasicBlock"]}
G = "search.generation"
BRANCHED, SHIFTED, MIXED = {f"{G}.branch": 0.9}, {f"{G}.allowed": ["shift", "fc"]}, {f"{G}.required": ["mix"]}
FEW = {  # kernels that can be drawn
    f"{G}.min_steps": 1, f"{G}.max_steps": 3, f"{G}.kernel_sizes": [3], f"{G}.dilations": [1],
    f"{G}.allowed": ["conv", "relu"], "budget": {"macs": 2.0},
}  # fmt: skip
ONLY = ["conv", "fc", "relu", "add"]

# fmt: off
ROWS = [
    Row("name", ("one", "two"), ("one", "two"), stored(lambda study: study.study_name)),
    Row("format", ("kas.study/1", "kas.study/2"), ("kas.study/1", "refused"), lambda config, _: config.format),
    Row("seed", (1, 2), DIFFERENT, begun(lambda module, batch: batch[1].tolist())),
    Row("seed", (1, 2), DIFFERENT, on_bench(lambda bench: bench.fresh_original().head.weight.flatten().tolist())),
    Row("seed", (1, 2), DIFFERENT, sampler(first)),
    Row("trials", (2, 3), (2, 3), stored(records.wanted)),
    Row("device", ("cpu", "cuda:99"), ("cpu", "refused"), on_bench(lambda bench: str(bench.device))),
    Row("data.name", ("digits", "cifar100"), (10, 100), data(lambda found: found.num_classes), ON_DISK),
    Row("data.root", ("files", "nowhere"), ((3, 8, 8), "refused"), SHAPE_OF_DATA, CIFAR10),
    Row("data.download", (False, True), ("refused", (3, 8, 8)), downloaded, CIFAR10),
    Row("data.size", (8, 12), ((1, 8, 8), (1, 12, 12)), SHAPE_OF_DATA),
    Row("data.batch_size", (16, 20), ([16, 40], [20, 40]), data(batches)),
    Row("data.eval_batch_size", (16, 20), ([30, 16], [30, 20]), data(batches)),
    Row("data.train_samples", (50, 60), ([50, 40, 359], [60, 40, 359]), data(counts)),
    Row("data.val_samples", (30, 40), ([60, 30, 359], [60, 40, 359]), data(counts)),
    Row("data.test_samples", (None, 20), ([60, 40, 359], [60, 40, 20]), data(counts)),
    Row("data.augment", (False, True), ([False, False, False], [True, False, False]), data(augmented)),
    Row("data.workers", (0, 1), (0, 1), data(lambda found: found.train_dataloader().num_workers), FOLDER),
    Row("data.factory", (None, HERE_DATA), ((1, 8, 8), (1, 12, 12)), SHAPE_OF_DATA, {"data.factory_args": {"size": 12}}),
    Row("data.factory_args", ({"size": 8}, {"size": 9}), ((1, 8, 8), (1, 9, 9)), SHAPE_OF_DATA, {"data.factory": HERE_DATA}),
    Row("model.name", ("small_resnet", "resnet18"), ("SmallResNet", "ResNet"), KIND, {"model.args": {}}),
    Row("model.factory", (None, HERE_NETWORK), ("SmallResNet", "Sequential"), KIND),
    Row("model.args", ({"width": 4}, {"width": 8}), ((4, 4), (8, 8)), STEMS),
    Row("training.epochs", (1, 3), (1, 3), begun(lambda module, _: module.trainer.max_epochs)),
    Row("training.optimizer", ("adamw", "sgd"), ("AdamW", "SGD"), begun(lambda m, _: type(m.trainer.optimizers[0]).__name__)),
    Row("training.lr", (0.1, 0.2), ([0.1], [0.2]), begun(lambda module, _: groups(module, "initial_lr"))),
    Row("training.weight_decay", (0.0, 0.3), (({0.0}, {0.0}), ({0.3}, {0.0})), begun(decays)),
    Row("training.momentum", (0.0, 0.8), ([0.0, False], [0.8, True]), begun(momentum), {"training.optimizer": "sgd"}),
    Row("training.warmup", (0.0, 0.5), ([1.0, 1.0], [0.2, 0.4]), begun(lambda module, _: rates(module)[:2])),
    Row("training.label_smoothing", (0.0, 0.25), (0.0, 0.25), begun(loss)),
    Row("training.gradient_clip", (0.0, 0.5), (None, 0.5), begun(lambda module, _: module.trainer.gradient_clip_val)),
    Row("training.precision", ("32-true", "64-true"), ("torch.float32", "torch.float64"), begun(lambda m, _: str(m.dtype))),
    Row("training.init", ("scratch", "original"), ({False}, {True}), initial),
    Row("training.time_limit_s", (None, 1e-9), (["ok", "ok"], ["timeout", "ok"]), limited, {"training.epochs": 1}),
    Row("training.model", ({}, {"width": 8}), ((4, 4), (8, 4)), STEMS),
    Row("training.metric", ("accuracy", "F1Score"), DIFFERENT, begun(lambda module, _: type(module.metric).__name__)),
    Row("training.metric_args", ({}, {"top_k": 2}), (1, 2), begun(lambda module, _: module.metric.top_k)),
    Row("training.direction", (None, "minimize"), ("maximize", "minimize"), on_bench(lambda b: objective(b, None).direction)),
    Row("training.loss", (None, "MultiMarginLoss"), ("CrossEntropyLoss", "MultiMarginLoss"), begun(lambda *a: losses(*a)[0])),
    Row("training.loss_args", ({}, {"reduction": "sum"}), ("mean", "sum"), begun(lambda *a: losses(*a)[1])),
    Row("training.ignore_index", (None, 3), (-100, 3), begun(lambda *a: losses(*a)[2])),
    Row("training.class_weights", (None, [1.0] * 10), (False, True), begun(lambda *a: losses(*a)[3])),
    Row("task", ("auto", "multilabel"), ("classification", "refused"), on_bench(lambda bench: bench.task.name)),
    Row("data.batch", ({}, {"inputs": 1, "targets": 0}), ((1, 8, 8), "refused"), SHAPE_OF_DATA),
    Row("model.output", (None, "aux"), ("classification", "refused"), on_bench(lambda bench: bench.task.name)),
    Row("cost.model", ({}, {"width": 8}), ((4, 4), (4, 8)), STEMS),
    Row("cost.size", (None, 12), ((32, 1, 8, 8), (32, 1, 12, 12)), SHAPE),
    Row("cost.batch_size", (1, 3), ((1, 1, 8, 8), (3, 1, 8, 8)), SHAPE),
    Row("cost.repeats", (3, 7), (3, 7), measured(timed)),
    Row("cost.warmup", (1, 4), (2, 5), measured(lambda found: counted(found).count(1))),  # after the very first
    Row("cost.min_block_ms", (50, 100), (5, 10), measured(lambda found: max(counted(found)))),
    Row("cost.threads", (1, 2), ({1}, {2}), measured(lambda found: {threads for _, _, threads in found["passes"]})),
    Row("cost.runtime", ("eager", "onnxruntime"), ("eager", "onnxruntime"), on_bench(lambda bench: bench.runtime().name)),
    Row("cost.other_runtimes", (False, True), (set(), {"onnxruntime"}), other_runtimes),
    Row("cost.memory_format", ("contiguous", "channels_last"), DIFFERENT, measured(lambda found: found["memory_format"])),
    Row("cost.fused", (False, True), (6, 0), measured(lambda found: found["norms"])),
    Row("cost.max_ratio", (1.5, 3.0), ("too_slow", "ok"), measured(lambda found: found["outcome"], candidate=0.02)),
    Row("cost.max_ratio", (1.5, 3.0), (5 + 5, 15), measured(timed, 0.005, 0.01)),  # too slow only if it is so twice
    Row("cost.time_limit_s", (0.1, 20.0), (3, 15), measured(timed, 0.005, 0.005)),
    Row("health.enabled", (False, True), (([], ""), ([8], "")), health),
    Row("health.batch_size", (8, 9), (([8], ""), ([9], "")), health),
    Row("health.max_gradient_ratio", (100.0, 1e-9), (([8], ""), ([8], "the gradient's norm")), health),
    Row("health.min_gradient", (0.0, 1e9), (([8], ""), ([8], "a weight's gradient")), health),
    Row("health.min_dependence", (0.0, 1e9), (([8], ""), ([8], "the output hardly")), health),
    Row("health.max_scale", (1e4, 0.5), (([8], ""), ([8], "the scale is")), health),
    Row("targets.names", (["3"], ["1"]), (["3"], ["1"]), TARGETS, OWN),
    Row("targets.types", (["Conv2d"], ["BasicBlock"]), DIFFERENT, TARGETS),
    Row("targets.rank", (2, 0), ({2}, {0}), of_targets("rank"), LINEAR),
    Row("targets.min_kernel", (1, 5), (["2", "3"], ["3"]), TARGETS, OWN),
    Row("targets.depthwise", (False, True), (["3"], ["1", "3"]), TARGETS, OWN),
    Row("targets.stem", (False, True), (["3"], ["0", "3"]), TARGETS, OWN),
    Row("targets.adapter", ("copies", "projection"), ({"copies"}, {"projection"}), of_targets("prefer")),
    Row("targets.norm", ("none", "layer"), ({"none"}, {"layer"}), of_targets("norm"), BLOCKS),
    Row("budget", ({"macs": 0.3}, {"macs": 0.9}), (True, False), within, WIDE),
    Row("search.seeds", (["ghost"], ["bottleneck"]), (hashes("ghost"), hashes("bottleneck")), SEEDS, WIDE),
    Row("search.forbidden_families", ([], ["conv3x3"]), (True, False), sampler(proposed), FEW),
    Row("search.population", (2, 3), ([0, 0, 1, 1, 2, 2], [0, 0, 0, 1, 1, 1]), sampler(generations)),
    Row("search.mutation", (0.0, 1.0), ({"crossover"}, {"mutation"}), sampler(kinds), {"search.blind": 0.0}),
    Row("search.blind", (0.0, 1.0), ({"mutation"}, {"blind"}), sampler(kinds), {"search.mutation": 1.0}),
    Row(f"{G}.min_steps", (1, 8), (False, True), every(lambda kernel: len(kernel.steps) >= 8)),
    Row(f"{G}.max_steps", (12, 4), (False, True), every(lambda kernel: len(kernel.steps) <= 4)),
    Row(f"{G}.families", ({}, {"pointwise": 0.0}), (False, True), every(lambda kernel: "relu" not in ops(kernel))),
    Row(f"{G}.ops", ({}, {"conv": 0.0}), (False, True), every(lambda kernel: "conv" not in ops(kernel))),
    Row(f"{G}.allowed", ([], ONLY), (False, True), every(lambda kernel: ops(kernel) <= set(ONLY))),
    Row(f"{G}.forbidden", ([], ["conv"]), (False, True), every(lambda kernel: "conv" not in ops(kernel))),
    Row(f"{G}.required", ([], ["softmax"]), (False, True), every(lambda kernel: "softmax" in ops(kernel))),
    Row(f"{G}.kernel_sizes", ([3], [5]), ({3}, {5}), union("k")),
    Row(f"{G}.dilations", ([2], [3]), ({2}, {3}), union("d")),
    Row(f"{G}.shifts", ([2], [3]), ({2}, {3}), union("by"), SHIFTED),
    Row(f"{G}.receptive_field", (1, 9), (False, True), every(lambda kernel: reach(kernel) >= 9)),
    Row(f"{G}.local", (0.0, 1.0), (False, True), every(lambda kernel: any(map(is_local, kernel.steps)))),
    Row(f"{G}.branch", (0.9, 0.0), (False, True), every(lambda kernel: most_open(kernel) == 1), {f"{G}.max_steps": 6}),
    Row(f"{G}.max_width", (4, 1), (False, True), every(lambda kernel: most_open(kernel) == 1), BRANCHED),
    Row(f"{G}.free_widths", (1.0, 0.0), (False, True), every(lambda kernel: not kernel.variables), {f"{G}.min_use": 0.0}),
    Row(f"{G}.min_weighted", (0.0, 0.5), (False, True), every(lambda kernel: weighted(kernel) >= 0.5)),
    Row(f"{G}.max_weighted", (1.0, 0.34), (False, True), every(lambda kernel: weighted(kernel) <= 0.34)),
    Row(f"{G}.fixed_size", (True, False), (False, True), every(lambda kernel: not kernel.fixed_size), MIXED),
    Row(f"{G}.max_tensor", (16.0, 1.0), (False, True), every(lambda kernel: largest(kernel) <= 1)),
    Row(f"{G}.multiple_of", (1, 4), ({0, 1, 2, 3}, {0}), draws(widths), WIDE),
    Row(f"{G}.min_use", (0.0, 0.8), (False, True), draws(use), WIDE),
    Row("objectives.accuracy", ("top_1", "f1"), ("top_1", "f1"), on_bench(lambda bench: objective(bench, None).name)),
    Row("objectives.cost", ("latency", "work"), (True, False), on_bench(lambda bench: bench.measures)),
    Row("objectives.cost", ("latency", "work"), DIFFERENT, stored(lambda study: study.metric_names[1])),
]
# fmt: on


def test_every_key_has_a_row_and_every_row_a_key() -> None:
    assert {row.key for row in ROWS} == {key.path for key in schema.keys(StudyConfig)}


@pytest.mark.parametrize("row", ROWS, ids=[row.key for row in ROWS])
def test_two_values_of_a_key_come_to_what_they_should(row: Row, tmp_path: Path) -> None:
    seen = []
    for number, value in enumerate(row.values):
        (folder := tmp_path / str(number)).mkdir()
        try:
            seen.append(row.observe(config({**row.others, row.key: value}), folder))
        except KasError:
            seen.append("refused")
    if row.expected is DIFFERENT:
        assert seen[0] != seen[1]
    else:
        assert row.expected[0] != row.expected[1]
        assert tuple(seen) == row.expected
