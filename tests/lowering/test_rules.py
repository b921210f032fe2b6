"""Each rewrite rule by itself: the program that it is about, what it must and must not write, and that it is equal.

Equal means: outputs and all gradients of the plain lowering in float64, to 1e-9 relative, at two sizes, batch 1 and 3.
"""

import re

import pytest
import torch
from lowering_comparison import difference
from lowering_programs import FC, GROUPS, MAPS, PROGRAMS, TAPS, UNFOLD, attention, op, program

from kas import zoo
from kas.lowering import build
from kas.lowering.module_source import source

TOLERANCE = 1e-9
ALL = [op("fold", axes=["1.h", "1.w"], how="mean"), op("fold", axes=["0.c"], how="mean")]
ROW = op("unfold", over="w", k=5)
ROWS, COLUMNS, CHANNELS = (op("fold", axes=[axis], how="mean") for axis in ("1.h", "1.w", "0.c"))
BIAS = op("bias", axes=["0.c"])
SCALED = op("scale", axes=["0.c"])
MAXIMUM = op("fold", axes=["1.h", "1.w"], how="max")


def and_input(*steps, back="add"):
    """Steps whose last is put on the input again."""
    return program(*steps, op(back, ins=[len(steps), 0]))


def mean_of(*steps, back="add"):
    """The mean over everything of the last of some steps, put on the input again."""
    return program(*steps, *ALL, op(back, ins=[len(steps) + 2, 0]))


def taps_mean_of(*steps, taps=("0.kw",), back="add"):
    """The same for a value over taps."""
    folds = [ALL[0], op("fold", axes=["0.c", *taps], how="mean")]
    return program(*steps, *folds, op(back, ins=[len(steps) + 2, 0]))


def in_windows(over, batch, grid=False):
    """Attention by head of every second place, or in windows, along one or two axes."""
    windows = (op("window", ins=[i], over=over, size=2, grid=grid) for i in (4, 5, 6))
    return program(*MAPS, *GROUPS, *windows, *attention(batch, 7), op("unwindow", over=over, grid=grid), op("ungroup"), FC)


# name: program, a pattern that the forward must have, one that it must not have
RULES = {
    # views
    "view": (
        program(op("group", by="4"), op("ungroup"), op("shift", axes=["1.h"], by=1)),
        r"^return torch.roll\(x, 1, 2\)$",
        "reshape",
    ),
    "twice": (program(FC, op("abs"), op("abs"), op("neg"), op("neg"), FC), r"\.abs\(\)", r"abs.*abs|neg|-t"),
    # a scale and a bias over taps, which are one pass elsewhere
    "affine over taps": (
        program(ROW, op("scale", axes=["0.c", "0.kw"]), op("bias", axes=["0.c", "0.kw"]), FC),
        r"w2.*\n(.*\n)*.*w3",
        "none",
    ),
    # linear maps of channels
    "chain": (program(op("fc", to="2*C"), FC), r"torch\.mm\(self\.w2, self\.w1\)", "bmm.*bmm"),
    "chain with a bias": (
        program(op("fc", to="2*C"), FC, op("bias", axes=["0.c"])),
        r"torch\.mm\(self\.w2, self\.w1\)",
        "none",
    ),
    "no chain where it is more work": (program(op("fc", to="C/4"), FC), r"self\.w1\.expand", r"torch\.mm"),
    "mix of channels": (program(op("mix", axes=["0.c"], to=["C"])), r"torch\.bmm\(self\.w1", "permute"),
    "bias of a convolution": (
        program(op("conv", to="C", k=[3, 3]), op("bias", axes=["0.c"])),
        r"conv2d\(x, self.w1, self.w2",
        r"\+",
    ),
    "bias of a scale": (
        program(op("shift", axes=["1.h"], by=1), op("scale", axes=["0.c"]), op("bias", axes=["0.c"])),
        "addcmul",
        r"\*",
    ),
    # means
    "mean of a mean": (mean_of(op("tanh")), r"mean\(\(1, 2, 3\)\)", r"mean.*\n.*mean"),
    "mean of a sum": (mean_of(op("conv", to="C", k=[3, 3]), op("tanh", ins=[0]), op("add", ins=[1, 2])), "linear", r"F\.conv"),
    "mean of a difference": (mean_of(op("conv", to="C", k=[3, 3]), op("sub", ins=[1, 0])), "linear", r"F\.conv"),
    "mean of a convolution": (mean_of(op("conv", to="C", k=[3, 5], d=[2, 1])), r"unfold\(0, h, 2\)", r"F\.conv"),
    "mean of a depthwise convolution": (mean_of(op("conv", to="2*C", k=[5, 5], depthwise=True)), "matmul", r"F\.conv"),
    "mean of a grouped convolution": (mean_of(op("group", by="G"), op("conv", to="C", k=[3, 3])), "matmul", r"F\.conv"),
    "mean of a convolution with a bias": (
        mean_of(op("conv", to="C", k=[3, 3]), op("bias", axes=["0.c"])),
        r"F\.linear\(.*self\.w2",
        r"F\.conv",
    ),
    "mean of an fc": (program(FC, ALL[0], op("add", ins=[2, 0])), r"F\.linear\(t1, self\.w1\)", "bmm"),
    "mean of a scale": (
        program(op("tanh"), op("scale", axes=["0.c"]), ALL[0], op("add", ins=[3, 0])),
        r"mean",
        r"\n.*\*.*\n.*mean",
    ),
    "mean of a mix": (
        program(op("tanh"), op("mix", axes=["0.c"], to=["C"]), op("fold", axes=["1.w"], how="mean"), op("add", ins=[3, 0])),
        r"mean\(3\)",
        r"matmul.*\n.*mean",
    ),
    "mean of a sign change": (mean_of(op("tanh"), op("neg")), r"mean\(\(1, 2, 3\)\)\n.*(neg_|-t1)", "none"),
    "mean of a shift": (mean_of(op("tanh"), op("shift", axes=["1.h", "1.w"], by=1)), "mean", "roll"),
    "mean over one axis of a shift": (
        program(op("shift", axes=["1.h", "1.w"], by=1), op("fold", axes=["1.h"], how="mean"), op("add", ins=[2, 0])),
        r"roll\(.*, 1, 2\)",
        r"\(1, 1\)",
    ),
    "mean of a view": (
        program(op("tanh"), op("group", by="4"), ALL[0], op("ungroup"), op("mul", ins=[4, 0])),
        "mean",
        "reshape.*mean",
    ),
    "mean of a shuffle": (
        program(op("tanh"), op("group", by="4"), op("transpose"), ALL[0], op("ungroup"), op("mul", ins=[5, 0])),
        r"mean\(\(2, 3\)\)",
        r"transpose.*\n(.*\n)*.*mean",
    ),
    "mean over half of a shuffle": (
        program(op("tanh"), op("group", by="4"), op("transpose"), op("fold", axes=["0.g"], how="mean"), FC),
        "mean",
        "transpose",
    ),
    "mean of a product with fewer axes": (
        mean_of(op("fold", axes=["1.h", "1.w"], how="max"), op("tanh", ins=[0]), op("mul", ins=[1, 2])),
        "mean",
        r"\*.*\n.*mean\(\(2, 3\)\)",
    ),
    "mean of a quotient": (
        mean_of(op("fold", axes=["1.h", "1.w"], how="max"), op("tanh", ins=[0]), op("div", ins=[1, 2], swap=True)),
        "mean",
        "none",
    ),
    "mean of a product of matrices": (
        program(
            op("tanh"), op("matmul", ins=[1, 0], t=[False, True]), op("fold", axes=["1.c"], how="mean"), op("mul", ins=[3, 0])
        ),
        r"mean",
        r"bmm.*\n.*mean",
    ),
    "mean of a scaled unfold": (taps_mean_of(op("tanh"), ROW, op("scale", axes=["0.c", "0.kw"])), "mean", r"unfold\([23x]"),
    "mean of an unfold over h and w": (taps_mean_of(op("tanh"), UNFOLD, taps=TAPS), "mean", r"unfold\([23x]"),
    "mean over positions of an unfold": (
        program(op("tanh"), UNFOLD, ALL[0], op("fold", axes=TAPS, how="max"), op("add", ins=[4, 0])),
        "mean",
        r"unfold\([23x]",
    ),
    "mean of an unfold": (taps_mean_of(op("tanh"), ROW), r"mean", r"unfold\([23x]"),
    "mean over rows of a convolution": (
        and_input(op("conv", to="C", k=[3, 5], d=[2, 1]), ROWS),
        r"conv1d\(t1.reshape\(n, 48, w\)",
        "conv2d",
    ),
    "mean over columns of a convolution": (
        and_input(op("conv", to="C", k=[3, 5], d=[1, 2]), COLUMNS),
        r"conv1d\(t1.reshape\(n, 80, h\)",
        "conv2d",
    ),
    "mean over columns of a grouped convolution with a bias": (
        and_input(op("group", by="G"), op("conv", to="2*C", k=[3, 3]), BIAS, COLUMNS, FC),
        r"transpose\(2, 3\).reshape\(32, 12, 3\), self.w3",
        "conv2d",
    ),
    "mean over columns of a scaled convolution": (
        and_input(UNFOLD, op("scale", axes=["0.c", "0.kw"]), op("group", by="G"), FC, COLUMNS),
        "conv1d",
        "conv2d",
    ),
    "mean over rows of a depthwise convolution": (
        and_input(op("conv", to="2*C", k=[3, 3], depthwise=True), ROWS, FC),
        "conv1d",
        "conv2d",
    ),
    "mean over columns of a convolution over rows": (
        and_input(op("conv", to="C", k=[3, 1]), COLUMNS),
        r"t1 = x.mean\(3\)",
        "conv2d|matmul",
    ),
    "mean over the outputs of a convolution": (
        and_input(op("conv", to="C", k=[3, 5]), BIAS, CHANNELS),
        r"self.w1.mean\(0\).*self.w2.mean\(\)",
        r"t1.mean|x.mean",
    ),
    "mean over the outputs of a grouped convolution": (
        and_input(op("group", by="G"), op("conv", to="2*C", k=[3, 3]), CHANNELS),
        r"mean\(1\) / 4\)",
        "groups=",
    ),
    "mean over the outputs of an fc": (
        and_input(op("tanh"), FC, BIAS, CHANNELS, back="mul"),
        r"self.w2.mean\(0\)",
        r"t1.mean",
    ),
    "mean over the outputs of a grouped fc": (
        and_input(op("group", by="G"), op("fc", to="2*C"), CHANNELS),
        r"mean\(1\) / 4\)",
        r"t1.mean|matmul",
    ),
    "mean over outputs and rows": (and_input(op("conv", to="C", k=[3, 5]), CHANNELS, ROWS), r"conv1d", "conv2d"),
    # maxima
    "maximum of a growing function": (
        and_input(FC, op("tanh"), op("exp"), MAXIMUM),
        r"amax.*\n.*tanh.*\n.*clamp",
        r"tanh.*\n(.*\n)*.*amax",
    ),
    "maximum of a shift": (and_input(op("shift", axes=["1.h", "1.w"], by=1), MAXIMUM), "amax", "roll"),
    "maximum over one axis of a shift": (
        and_input(op("shift", axes=["1.h", "1.w"], by=1), op("fold", axes=["1.h"], how="max")),
        r"amax\(2\)\n.*roll\(.*, 1, 2\)",
        "none",
    ),
    # what is outside an image
    "sigmoid of an unfold": (program(UNFOLD, op("sigmoid"), FC), r"F\.pad\(.*value=0\.5\)", r"unfold\([23x]"),
    "exp of a root of an unfold": (program(UNFOLD, op("sqrt"), op("exp"), op("group", by="C"), FC), r"value=1\.001", "stack"),
    "maximum of sigmoids": (
        program(UNFOLD, op("sigmoid"), op("neg"), op("fold", axes=TAPS, how="max")),
        r"value=-0\.5",
        "stack",
    ),
    # loops over taps
    "loop of a mean": (taps_mean_of(ROW, op("mul", ins=[0, 1]), op("gelu"), op("exp")), r"for j in range\(5\)", "stack"),
    "loop of a maximum": (
        program(UNFOLD, op("sub", ins=[0, 1]), op("sin"), op("fold", axes=TAPS, how="max")),
        "for i, j in",
        "stack",
    ),
    "loop of an fc": (program(ROW, op("mul", ins=[0, 1]), FC), "for j in", "stack"),
    "loop of a grouped fc": (program(op("group", by="G"), ROW, op("min", ins=[1, 2]), FC), "for j in", "stack"),
    "loop of a mix": (
        program(UNFOLD, op("div", ins=[0, 1]), op("mix", axes=["0.kw", "0.kh"], to=["1", "1"])),
        "for i, j in",
        "stack",
    ),
    "loop of a scale and a bias of taps": (
        program(UNFOLD, op("tanh"), op("scale", axes=["0.c", "0.kw"]), op("bias", axes=["0.kh"]), op("relu"), FC),
        "for i, j in",
        "stack",
    ),
    "loop of a normalisation": (
        program(ROW, op("normalize", axes=["0.c", "1.w"], how="standard"), op("fold", axes=["0.kw"], how="mean")),
        "for j in",
        "stack",
    ),
    "a quotient by what has no taps": (
        program(UNFOLD, op("sigmoid", ins=[0]), op("div", ins=[2, 1], swap=True), FC),
        r"= torch\.where\((.*\n)+for i, j in .*:\n(.*\n)+s1 = s1 / \w+$",
        r"s1 / torch\.where",
    ),
    "no loop for an fc to many channels": (
        program(op("fold", axes=["0.c"], how="max"), UNFOLD, op("scale", axes=TAPS), op("tanh"), FC),
        r"unfold\(2, 3, 1\)",
        "for i, j in .*:$",
    ),
    # attention
    "attention, rows": (zoo.get("nonlocal_attention"), r"scaled_dot_product_attention", "softmax"),
    "attention of three maps of one tensor": (
        zoo.get("nonlocal_attention"),
        r"torch.cat\(\[self.w2, self.w1, self.w3\]\)|torch.cat\(\[self.w1, self.w2, self.w3\]\)",
        "bmm.*\n.*bmm",
    ),
    "attention of maps to other widths": (
        program(
            op("fc", to="8"),
            op("fc", ins=[0], to="8"),
            op("fc", ins=[0], to="C"),
            op("matmul", ins=[1, 2], t=[True, False], softmax=True),
            op("matmul", ins=[3, 4], t=[False, True]),
        ),
        r"torch\.cat(.*\n)+.*scaled_dot_product_attention",
        "softmax",
    ),
    "attention, columns": (
        program(
            op("fc", to="8"),
            op("fc", ins=[0], to="8"),
            op("matmul", ins=[1, 2], t=[True, False], softmax=True),
            op("matmul", ins=[0, 3], t=[False, True]),
        ),
        r"scaled_dot_product_attention",
        "softmax",
    ),
    "attention with a softmax of its own": (
        program(
            op("fc", to="8"),
            op("matmul", ins=[1, 1], t=[True, False]),
            op("softmax", axes=["1.h", "1.w"]),
            op("matmul", ins=[0, 3], t=[False, True]),
        ),
        r"scaled_dot_product_attention",
        "softmax",
    ),
    "no fused attention for few keys": (
        program(op("matmul", ins=[0, 0], t=[False, True], softmax=True), op("matmul", ins=[1, 0])),
        "softmax",
        "scaled_dot",
    ),
    "attention by head": (program(*MAPS, *GROUPS, *attention(["g"], 4), op("ungroup"), FC), "scaled_dot_product", "softmax"),
    "attention by row": (program(*MAPS, *attention(["h"])), r"torch\.cat(.*\n)+.*scaled_dot_product", "softmax"),
    "attention by column, the values first": (
        program(
            *MAPS,
            op("bmm", ins=[1, 2], batch=["w"], t=[True, False], softmax=True),
            op("bmm", ins=[3, 4], batch=["w"], t=[False, True]),
        ),
        "scaled_dot_product",
        "softmax",
    ),
    "attention by row, the scores first": (
        program(
            *MAPS,
            op("bmm", ins=[1, 2], batch=["h"], t=[True, False], softmax=True),
            op("bmm", ins=[4, 3], batch=["h"], t=[False, True]),
            op("matmul", ins=[0, 5]),
            op("matmul", ins=[6, 0]),
        ),
        "scaled_dot_product",
        "softmax",
    ),
    "attention by head with a softmax of its own": (
        program(
            *MAPS,
            *GROUPS,
            op("bmm", ins=[4, 5], batch=["g"], t=[True, False]),
            op("softmax", axes=["1.h", "1.w"]),
            op("bmm", ins=[6, 8], batch=["g"], t=[False, True]),
            op("ungroup"),
        ),
        "scaled_dot_product",
        "softmax",
    ),
    "attention in windows": (in_windows("h", ["g", "kh"]), "scaled_dot_product", "softmax"),
    "attention in small windows, whose rows are parts of one product": (
        in_windows("hw", ["g", "kh", "kw"]),
        r"torch\.cat(.*\n)+.*scaled_dot_product",
        "softmax|stack",
    ),
    "attention in windows of a grid": (in_windows("hw", ["g", "kh", "kw"], grid=True), r"torch\.cat(.*\n)+.*scaled", "softmax"),
    "no fused attention in small windows of values with taps": (
        program(
            op("conv", to="8", k=[3, 3]),
            *(op("window", ins=[1], over="hw", size=2) for _ in range(3)),
            *attention(["kh", "kw"], 2),
            op("unwindow", over="hw"),
            FC,
        ),
        "softmax",
        "scaled_dot_product",
    ),
    "no fused attention by row to wider values": (
        program(op("fc", to="8"), op("fc", ins=[0], to="8"), op("fc", ins=[0], to="C"), *attention(["h"])),
        "softmax",
        "scaled_dot_product",
    ),
    # rows
    "rows by line of unequal widths": (
        program(op("fc", to="8"), op("fc", ins=[0], to="8"), op("fc", ins=[0], to="C"), *attention(["h"])),
        r"torch\.cat\(\[self\.w1, self\.w2, self\.w3\]\)(.*\n)+.*narrow\(2, 16, 16\)",
        r"\.expand\(n, -1, -1\), x",
    ),
    "attention along both lines, added": (
        zoo.get("criss_cross_attention"),
        r"torch\.cat(.*\n)+.*softmax(.*\n)+.*softmax(.*\n)+.*\.add_\(",
        r"baddbmm\(\n? *t\d\.permute",
    ),
    "no rows of what others read": (
        program(
            *MAPS,
            op("bmm", ins=[1, 2], batch=["h"], t=[True, False]),
            op("tanh"),
            op("bmm", ins=[3, 5], batch=["h"], t=[False, True]),
            op("mul", ins=[6, 3]),
        ),
        r"self\.w3(\.t\(\))?\.expand\(n, -1, -1\)",
        "w3.*cat|cat.*w3",
    ),
    "rows of maps of a map": (
        program(
            op("fc", to="4"),
            op("fc", to="C"),
            *(op("fc", ins=[2], to="8") for _ in range(3)),
            *attention(["h"], 3),
            FC,
        ),
        r"torch\.mm\(torch\.cat\(\[self\.w3, self\.w4, self\.w5\]\), self\.w2\)",
        r"self\.w2\.expand",
    ),
    "no rows of maps of a map that others read": (
        program(
            op("fc", to="4"),
            op("fc", to="C"),
            *(op("fc", ins=[2], to="8") for _ in range(3)),
            *attention(["h"], 3),
            FC,
            op("add", ins=[8, 2]),
        ),
        r"self\.w2\.expand",
        r"torch\.mm\(",
    ),
    "rows of normalized and scaled maps": (
        zoo.get("cosine_attention"),
        r"torch\.cat\(\[self\.w1, self\.w4, self\.w6\]\)(.*\n)+.*dim=2(.*\n)+.*\* self\.w3\.reshape\(8\)",
        r"contiguous|\.sum\(",
    ),
    "rows in windows of normalized and scaled maps": (
        program(
            *MAPS,
            *GROUPS,
            op("normalize", ins=[4], axes=["0.c"], how="l2"),
            op("scale", axes=["0.g"]),
            *(op("window", ins=[i], over="hw", size=2, grid=True) for i in (8, 5, 6)),
            *attention(["g", "kh", "kw"], 9),
            op("unwindow", over="hw", grid=True),
            op("ungroup"),
        ),
        r"torch\.cat(.*\n)+.*scaled_dot",
        "softmax",
    ),
    "no rows of maps normalized along positions": (
        program(
            *MAPS,
            op("normalize", ins=[1], axes=["1.h", "1.w"], how="l2"),
            op("matmul", ins=[4, 2], t=[True, False], softmax=True),
            op("matmul", ins=[3, 5], t=[False, True]),
        ),
        "contiguous",
        "w1, self",
    ),
    # another association
    "one matrix of channels for each image": (
        program(*MAPS, op("matmul", ins=[1, 2], t=[False, True]), op("sigmoid"), op("matmul", ins=[5, 3]), FC),
        r"torch\.matmul\(t\d, self\.w3\)",
        r"self\.w[37]\.expand\(n, -1, -1\), x",
    ),
    "one matrix of channels for each image, the image as it is": (
        program(op("tanh"), op("matmul", ins=[1, 0], t=[False, True]), op("matmul", ins=[2, 0], t=[True, False]), FC),
        r"torch\.bmm\(self\.w4\.expand\(n, -1, -1\), \w+\.mT\)(.*\n)+.*baddbmm\(self\.zero",
        r"return torch\.bmm",
    ),
    "scores of maps of one image by group": (
        program(
            *MAPS,
            *GROUPS,
            op("bmm", ins=[4, 5], batch=["g"], t=[False, True], softmax=True),
            op("bmm", ins=[7, 6], batch=["g"]),
        ),
        r"self\.w1\.expand\(n, -1, -1\), t",
        r"self\.w[12]\.expand\(n, -1, -1\), x",
    ),
    "scores of normalized and scaled maps": (
        program(
            *MAPS,
            op("normalize", ins=[1], axes=["1.h", "1.w"], how="l2"),
            SCALED,
            op("normalize", ins=[2], axes=["1.h", "1.w"], how="l2"),
            op("matmul", ins=[5, 6], t=[False, True]),
            op("tanh"),
            op("matmul", ins=[8, 3]),
        ),
        r"clamp_min\(0\)(.*\n)+.*clamp_min\(0\)",
        "vector_norm",
    ),
    "cross-covariance attention": (
        zoo.get("xcit_attention"),
        r"clamp_min\(0\)",
        r"vector_norm|self\.w[123]\.expand\(n, -1, -1\), x",
    ),
    "no scores of scaled and then normalized maps": (
        program(
            *MAPS,
            op("scale", ins=[1], axes=["0.c"]),
            op("normalize", axes=["1.h", "1.w"], how="l2"),
            op("matmul", ins=[5, 2], t=[False, True]),
            op("matmul", ins=[6, 3]),
        ),
        "vector_norm",
        r"clamp_min\(0\)",
    ),
    "no one matrix by way of fewer channels": (
        program(op("fc", to="4"), op("matmul", ins=[1, 0], t=[False, True]), op("matmul", ins=[2, 0]), FC),
        r"^x = torch\.bmm\(self\.w4\.expand\(n, -1, -1\), x\)$",
        "gram",
    ),
    # products
    "a map added": (and_input(op("tanh"), FC), r"baddbmm\(x\.reshape.*self\.w2", r" \+ |add_"),
    "a product added": (
        and_input(op("matmul", ins=[0, 0], t=[False, True]), op("matmul", ins=[1, 0])),
        r"baddbmm\(x, .*alpha",
        r" \+ |add_",
    ),
    "no map added that others read": (
        program(op("tanh"), FC, op("sigmoid"), op("add", ins=[2, 0]), op("mul", ins=[3, 4])),
        r"\+|add_",
        "baddbmm",
    ),
    "a scale of the rows of a product": (
        program(op("fc", to="4"), op("matmul", ins=[0, 1], t=[False, True]), op("matmul", ins=[2, 1]), SCALED),
        r"\* self\.w4(.*\n)+.*baddbmm",
        r"baddbmm(.*\n)+.*\* self\.w4(.*\n)+return \w+ \*",
    ),
    "no scale of the columns of a small product": (
        program(
            op("fc", to="8"), op("matmul", ins=[0, 1], t=[False, True]), op("scale", axes=["1.c"]), op("matmul", ins=[3, 1])
        ),
        r"baddbmm(.*\n)+.*\* self\.w3",
        r"x\.reshape\(.*self\.w3",
    ),
    # taps recombined by a matrix for each position
    "reassembly": (PROGRAMS["reassembled by group"], r"\w+\.addcmul_\(\w+\[:, :, :, i, j\]", "einsum|stack|unfold"),
    "reassembly with distant taps": (
        program(op("unfold", over="hw", k=3, d=2), op("fc", ins=[0], to="9"), op("reassemble", ins=[1, 2])),
        r"2 \* i : 2 \* i \+ h",
        "einsum|stack|unfold",
    ),
    "reassembly alike in all groups": (PROGRAMS["reassembled alike in all groups"], "addcmul", "einsum|stack|unfold"),
    "reassembly to a few": (
        program(
            UNFOLD,
            op("conv", ins=[0], to="36", k=[3, 3]),
            op("subpixel", over="hw", k=2),
            op("reassemble", ins=[1, 3]),
            op("unwindow", over="hw"),
            op("pool", over="hw", k=2, how="max"),
        ),
        "addcmul",
        "einsum|stack|unfold",
    ),
    "reassembly to nine": (PROGRAMS["outlook attention"], r"addcmul_\(\w+\[:, :, :, i, j\]", "einsum"),
    "no sum of taps to many": (
        program(
            UNFOLD,
            op("conv", ins=[0], to="225", k=[3, 3]),
            op("subpixel", over="hw", k=5),
            op("reassemble", ins=[1, 3]),
            op("fold", axes=TAPS, how="max"),
        ),
        "einsum",
        "addcmul",
    ),
    "a filter of few": (
        program(ALL[0], op("filter", axis="0.c", k=3, d=2), op("mul", ins=[2, 0])),
        r"conv1d.*padding=2, dilation=2",
        "addcmul",
    ),
    # taps that are made
    "taps once under two names": (
        program(UNFOLD, op("group", by="G"), op("shift", ins=[1], axes=["1.h"], by=1), op("mul", ins=[2, 3]), FC),
        "stack|unfold",
        r"(stack|F\.unfold)(.*\n)+.*(stack|F\.unfold)",
    ),
    "squares in one pass": (program(op("normalize", axes=["1.h", "1.w"], how="l2")), "vector_norm", r"square\(\)\.sum"),
}

ROOM = {"sizes": [(14, 16), (16, 14)]}  # over fewer positions attention is not fused and an fc is no loop


def forward(kernel):
    values = dict.fromkeys(kernel.variables, 8)
    text = source(kernel, channels=16, size=(14, 16), groups=4, values=values)
    lines = [line.split("  #")[0].strip() for line in text.split("def forward")[1].splitlines()[1:]]
    return "\n".join(line for line in lines if not line.startswith("functions.require("))


@pytest.mark.parametrize("name", RULES)
def test_rule(name):
    kernel, has, lacks = RULES[name]
    written = forward(kernel)
    assert re.search(has, written, re.MULTILINE), written
    assert not re.search(lacks, written, re.MULTILINE), written
    assert difference(kernel, **ROOM) < TOLERANCE


@pytest.mark.parametrize("name", RULES)
def test_one_state_two_instances_and_both_lowerings(name):
    """Bit-equal outputs of two instances with one state; a state of the plain module is one of the optimized."""
    kernel, sizes = RULES[name][0], {"channels": 16, "size": (14, 16), "groups": 4}
    sizes["values"] = dict.fromkeys(kernel.variables, 8)
    first, second, plain = (build(kernel, **sizes, lowering=one) for one in ("optimized", "optimized", "plain"))
    second.load_state_dict(first.state_dict())
    x = torch.randn(2, 16, 14, 16)
    with torch.no_grad():
        assert torch.equal(first(x), second(x))
        assert torch.equal(first(x), first(x))
    first.load_state_dict(plain.state_dict())
    assert list(first.state_dict()) == list(plain.state_dict())
    torch.testing.assert_close(first(x), plain(x), rtol=1e-4, atol=1e-4)


def test_the_input_is_never_written_over():
    x = torch.randn(2, 16, 14, 16)
    for kernel, _, _ in RULES.values():
        module = build(kernel, channels=16, size=(14, 16), groups=4, values=dict.fromkeys(kernel.variables, 8))
        before, weights = x.clone(), [p.detach().clone() for p in module.parameters()]
        with torch.no_grad():
            module(x)
        assert torch.equal(x, before)
        assert all(torch.equal(p, w) for p, w in zip(module.parameters(), weights, strict=True))


@pytest.mark.parametrize("over", ["hw", "h", "w"])
@pytest.mark.parametrize("size", [(4, 4), (6, 10)], ids=str)  # few positions, and many
def test_neighbours_that_stay_in_memory_are_as_far_apart_as_asked(over, size):
    kernel = program(op("unfold", over=over, k=3, d=2), op("softmax", axes=[f"0.k{axis}" for axis in over]), FC)
    assert difference(kernel, sizes=[size]) < TOLERANCE


def test_neighbours_along_one_axis_of_taps_along_the_other_are_as_far_apart_as_asked():
    rows = op("unfold", over="w", k=3), op("softmax", axes=["0.kw"])
    assert difference(program(*rows, op("unfold", over="h", k=3, d=2), op("softmax", axes=["0.kh"]), FC)) < TOLERANCE
