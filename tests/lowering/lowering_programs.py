"""Programs for the tests of the lowering: every op, and every pattern that a rewrite rule is about."""

from __future__ import annotations

from kas.language import Kernel
from kas.language.kernel import FORMAT

SIZES = {2: [(6, 10), (8, 12)], 1: [(12,), (20,)], 0: [()]}


def program(*steps, rank=2):
    """A kernel from JSON objects; a step without `ins` reads the one before."""
    full = [{"ins": [i], **step} for i, step in enumerate(steps)]
    return Kernel.from_dict({"format": FORMAT, "rank": rank, "steps": full})


def op(name, **attributes):
    return {"op": name, **attributes}


UNFOLD = op("unfold", over="hw", k=3)
FC = op("fc", to="C")
TAPS = ["0.kh", "0.kw"]

PROGRAMS = {
    "fc": program(FC),
    "fc grouped": program(op("group", by="G"), FC),
    "fc of the second side": program(
        op("matmul", ins=[0, 0], t=[True, False]), op("matmul", ins=[1, 0], t=[False, True]), op("fc", to="C", side=1)
    ),
    "fc of grouped second side": program(
        op("matmul", ins=[0, 0], t=[False, True], softmax=True),
        op("group", by="G", side=1),
        op("fc", to="C", side=1),
        op("matmul", ins=[3, 0]),
    ),
    "fc next to channels": program(
        op("matmul", ins=[0, 0], t=[False, True]),
        op("group", by="G", side=0),
        op("fc", to="C", side=0),
        op("matmul", ins=[3, 0]),
    ),
    "convolution": program(op("conv", to="C", k=[3, 5], d=[2, 1])),
    "convolution by unfold": program(UNFOLD, FC),
    "convolution by two unfolds": program(op("unfold", over="w", k=3), op("unfold", over="h", k=5, d=2), FC),
    "grouped by unfold": program(UNFOLD, op("group", by="G"), FC),
    "depthwise by unfold": program(UNFOLD, op("group", by="C"), FC),
    "depthwise by scale": program(UNFOLD, op("scale", axes=["0.c", *TAPS]), op("fold", axes=TAPS, how="mean")),
    "one filter for all channels": program(UNFOLD, op("scale", axes=TAPS), op("fold", axes=TAPS, how="mean")),
    "dense by scale": program(
        UNFOLD, op("scale", axes=["0.c", *TAPS]), op("fold", axes=["0.c", *TAPS], how="mean"), op("add", ins=[3, 0])
    ),
    "half of the taps": program(
        UNFOLD, op("scale", axes=["0.c", "0.kh"]), op("fold", axes=["0.kh"], how="mean"), op("fold", axes=["0.kw"], how="max")
    ),
    "scaled convolution": program(UNFOLD, op("scale", axes=["0.c", "0.kw"]), op("group", by="G"), FC),
    "scaled in groups": program(op("group", by="G"), UNFOLD, op("scale", axes=["0.g", "0.kh", "0.kw"]), FC),
    "average": program(UNFOLD, op("fold", axes=TAPS, how="mean")),
    "maximum": program(UNFOLD, op("fold", axes=TAPS, how="max")),
    "maximum of what is positive": program(op("relu"), UNFOLD, op("fold", axes=TAPS, how="max")),
    "spread maximum of what is positive": program(
        op("abs"), op("unfold", over="w", k=3, d=2), op("fold", axes=["0.kw"], how="max")
    ),
    "maximum over channels and taps": program(UNFOLD, op("fold", axes=["0.c", *TAPS], how="max"), op("sub", ins=[2, 0])),
    "relu between": program(UNFOLD, op("relu"), op("group", by="G"), op("transpose"), op("ungroup"), FC),
    "sigmoid between": program(UNFOLD, op("sigmoid"), FC),
    "filter shared by mix": program(UNFOLD, op("mix", axes=TAPS, to=["1", "1"])),
    "filter of groups by mix": program(op("group", by="G"), UNFOLD, op("mix", axes=["0.c", *TAPS], to=["C/G", "1", "1"])),
    "involution": program(
        op("fc", to="9"), op("unfold", ins=[0], over="hw", k=3), op("mul", ins=[1, 2]), op("fold", axes=TAPS, how="mean")
    ),
    "involution with a softmax": program(
        op("conv", to="9", k=[3, 3]),
        op("softmax", axes=["0.c"]),
        op("unfold", ins=[0], over="hw", k=3, d=2),
        op("mul", ins=[2, 3]),
        op("fold", axes=TAPS, how="mean"),
    ),
    "unfold next to a softmax": program(
        op("unfold", over="w", k=3), op("softmax", axes=["0.kw"]), op("unfold", over="h", k=3), FC
    ),
    "unfold next to folded taps": program(
        op("unfold", over="h", k=3),
        op("softmax", axes=["0.c"]),
        op("unfold", over="w", k=3),
        op("scale", axes=["0.kh", "0.kw"]),
        FC,
    ),
    "two unfolds added": program(UNFOLD, op("tanh", ins=[0]), op("unfold", ins=[2], over="hw", k=3), op("mul", ins=[1, 3]), FC),
    "gated unfold": program(
        op("fold", axes=["1.h", "1.w"], how="mean"), op("unfold", ins=[0], over="hw", k=3), op("mul", ins=[1, 2]), FC
    ),
    "mix of channels": program(op("mix", axes=["0.c"], to=["C"])),
    "mix of rows": program(op("mix", axes=["1.h"], to=["H"])),
    "mix of columns": program(op("mix", axes=["1.w"], to=["W"])),
    "mix across sides": program(op("mix", axes=["1.w", "0.c"], to=["W", "C"])),
    "mix of positions, out of order": program(op("mix", axes=["1.w", "1.h"], to=["W", "H"])),
    "shift": program(op("shift", axes=["1.h", "1.w"], by=-2), FC),
    "shuffle": program(op("group", by="4"), op("transpose"), op("ungroup"), op("conv", to="C", k=[1, 3])),
    "squeeze": program(op("fold", axes=["1.h", "1.w"], how="mean"), FC, op("sigmoid"), op("mul", ins=[3, 0])),
    "mean after fc": program(FC, op("fold", axes=["1.h", "1.w"], how="mean"), op("add", ins=[2, 0])),
    "mean after scale": program(
        op("scale", axes=["0.c"]), op("fold", axes=["1.w"], how="mean"), op("sub", ins=[2, 0], swap=True)
    ),
    "bias of a convolution": program(op("conv", to="C", k=[3, 3]), op("bias", axes=["0.c"])),
    "scale and bias": program(op("shift", axes=["1.h"], by=1), op("scale", axes=["0.c"]), op("bias", axes=["0.c"])),
    "scale of positions": program(FC, op("scale", axes=["0.c", "1.w"]), op("bias", axes=["1.h"])),
    "joint softmax of far axes": program(op("group", by="4"), UNFOLD, op("softmax", axes=["0.g", "0.kh"]), FC),
    "softmax of positions": program(op("softmax", axes=["1.h", "1.w"])),
    "normalise positions": program(op("normalize", axes=["1.h", "1.w"], how="standard")),
    "normalise channels": program(op("normalize", axes=["0.c"], how="standard")),
    "normalise in groups": program(op("group", by="G"), op("normalize", axes=["0.c", "1.h", "1.w"], how="standard")),
    "l2 of channels": program(op("normalize", axes=["0.c"], how="l2")),
    "attention": program(
        op("fc", to="8"),
        op("fc", ins=[0], to="8"),
        op("matmul", ins=[1, 2], t=[True, False], softmax=True),
        op("matmul", ins=[3, 0], t=[False, True]),
    ),
    "channel attention": program(op("matmul", ins=[0, 0], t=[False, True], softmax=True), op("matmul", ins=[1, 0])),
    "broadcast by a cut": program(op("fc", to="C/4"), op("relu"), op("mul", ins=[2, 0]), FC),
    "relu of what others read": program(
        FC, op("mul", ins=[1, 1]), op("relu", ins=[1]), op("tanh", ins=[1]), op("add", ins=[2, 3]), op("add", ins=[4, 5])
    ),
    "ratio": program(FC, op("sub", ins=[0, 1]), op("div", ins=[2, 0], swap=True), op("max", ins=[0, 3]), op("min", ins=[4, 1])),
    "a size of one": program(op("fc", to="1"), op("relu"), op("fc", to="C")),
    "unfold of a row": program(op("unfold", over="h", k=3), FC, rank=1),
    "average of a row": program(op("unfold", over="h", k=5), op("fold", axes=["0.kh"], how="mean"), rank=1),
    "maximum of a row": program(op("unfold", over="h", k=3, d=2), op("fold", axes=["0.kh"], how="max"), rank=1),
    "involution of a row": program(
        op("fc", to="3"),
        op("unfold", ins=[0], over="h", k=3),
        op("mul", ins=[1, 2]),
        op("fold", axes=["0.kh"], how="mean"),
        rank=1,
    ),
    "linear": program(FC, op("gelu"), FC, rank=0),
    "grouped linear": program(op("group", by="G"), FC, rank=0),
    "depthwise of nothing": program(op("conv", to="2*C", k=[1, 1], depthwise=True), op("mix", axes=["0.c"], to=["C"]), rank=0),
    **{
        f"{name} of each": program(FC, op(name), FC)
        for name in ["gelu", "relu", "sigmoid", "tanh", "abs", "exp", "neg", "sin", "sqrt", "sqr"]
    },
}

MAPS = [op("fc", ins=[0], to="C") for _ in range(3)]
GROUPS = [op("group", ins=[i], by="G") for i in (1, 2, 3)]


def attention(batch, first=1):
    """Of tensors `first` and the two after it, for each index of the batch; the last tensor is the one after those."""
    return (
        op("bmm", ins=[first, first + 1], batch=batch, t=[True, False], softmax=True),
        op("bmm", ins=[first + 2, first + 3], batch=batch, t=[False, True]),
    )


def shifted(pad, *by):
    return op("spatial_shift", by=[list(pair) for pair in by], pad=pad)


CROSS = [(1, 0), (-1, 0), (0, 2), (0, -1)]

PROGRAMS |= {
    "softmax in windows": program(
        op("window", over="hw", size=2, grid=True), op("softmax", axes=["1.h", "1.w"]), op("unwindow", over="hw", grid=True)
    ),
    "softmax of places": program(
        op("window", over="hw", size=2), op("softmax", axes=["1.h", "1.w"]), op("unwindow", over="hw")
    ),
    "softmax in patches of a group": program(
        op("group", by="G"), op("window", over="w", size=2), op("softmax", axes=["0.kw"]), op("unwindow", over="w")
    ),
    "windows put back another way": program(op("window", over="hw", size=2), op("unwindow", over="hw", grid=True), FC),
    "windows of columns beside taps": program(
        op("unfold", over="h", k=3), op("window", over="w", size=2, grid=True), op("softmax", axes=["1.w"]),
        op("unwindow", over="w", grid=True), FC,
    ),
    "strided convolution and pixel shuffle": program(
        op("window", over="hw", size=2), op("fc", to="8"), op("relu"), op("fc", to="4*C"), op("subpixel", over="hw", k=2),
        op("unwindow", over="hw"),
    ),
    "pixel shuffle of rows": program(
        op("pool", over="h", k=2, how="max"), op("fc", to="2*C"), op("subpixel", over="h", k=2), op("unwindow", over="h")
    ),
    "pool and upsample": program(
        op("pool", over="hw", k=2, how="mean"), op("conv", to="C", k=[3, 3]), op("upsample", over="hw", k=2),
        op("sigmoid"), op("mul", ins=[0, 4]),
    ),
    "upsample and pool in groups": program(
        op("group", by="G"), op("upsample", over="w", k=3), op("sin"), op("pool", over="w", k=3, how="max")
    ),
    "pooled taps": program(UNFOLD, op("pool", over="hw", k=2, how="max"), FC, op("upsample", over="hw", k=2)),
    "overlapping sum": program(op("fc", to="9*C"), op("subpixel", over="hw", k=3), op("col2im", over="hw", d=1)),
    "spread overlapping sum in groups": program(
        op("fc", to="9*C"), op("group", by="G"), op("subpixel", over="hw", k=3), op("softmax", axes=["0.kh", "0.kw"]),
        op("col2im", over="hw", d=2),
    ),
    "overlapping sums in turn": program(
        op("fc", to="9*C"), op("subpixel", over="hw", k=3), op("tanh"), op("col2im", over="h", d=2), op("col2im", over="w", d=1)
    ),
    "overlapping sum over columns first": program(UNFOLD, op("gelu"), op("col2im", over="w", d=1), FC),
    "parts shifted, zeros from outside": program(FC, shifted("zero", *CROSS), FC),
    "parts shifted, the border repeated": program(FC, shifted("edge", *CROSS), FC),
    "parts rolled": program(FC, shifted("roll", (0, 0), (-2, 1)), FC),
    "two shifts of parts": program(FC, shifted("zero", (1, 1), (-1, -1)), op("relu"), shifted("edge", (0, 0), (0, 3)), FC),
    "attention by head": program(*MAPS, *GROUPS, *attention(["g"], 4), op("ungroup"), FC),
    "attention by row": program(*MAPS, *attention(["h"])),
    "attention by column": program(*MAPS, *attention(["w"])),
    "attention by head and row": program(*MAPS, *GROUPS, *attention(["g", "h"], 4)),
    "attention in windows": program(
        *MAPS, *GROUPS, *(op("window", ins=[i], over="hw", size=2, grid=True) for i in (4, 5, 6)),
        *attention(["g", "kh", "kw"], 7), op("unwindow", over="hw", grid=True), op("ungroup"), FC,
    ),
    "attention among places": program(
        *MAPS, *(op("window", ins=[i], over="hw", size=2) for i in (1, 2, 3)), *attention(["kh", "kw"], 4),
        op("unwindow", over="hw"),
    ),
    "attention of channels by head": program(
        *MAPS, *GROUPS, op("bmm", ins=[4, 5], batch=["g"], t=[False, True], softmax=True), op("bmm", ins=[7, 6], batch=["g"])
    ),
    "product of both transposed": program(
        op("bmm", ins=[0, 0], batch=["h"], t=[True, False]), op("bmm", ins=[1, 0], batch=["h"], t=[True, True])
    ),
    "reassembled by group": program(
        op("group", by="G"), UNFOLD, op("fc", ins=[0], to="9*G"), op("group", by="G"), op("softmax", axes=["0.c"]),
        op("reassemble", ins=[2, 5]),
    ),
    "reassembled alike in all groups": program(
        op("group", by="G"), op("unfold", over="w", k=3), op("fc", ins=[0], to="3"), op("reassemble", ins=[2, 3])
    ),
    "outlook attention": program(
        UNFOLD, op("group", by="G"), op("fc", ins=[0], to="81*G"), op("group", by="G"), op("subpixel", over="hw", k=3),
        op("softmax", axes=["0.c"]), op("reassemble", ins=[2, 6]), op("col2im", over="hw"),
    ),
    "reassembly at twice the resolution": program(
        op("pool", over="hw", k=2, how="mean"), UNFOLD, op("conv", ins=[1], to="36", k=[3, 3]),
        op("subpixel", over="hw", k=2), op("softmax", axes=["0.c"]), op("reassemble", ins=[2, 5]), op("unwindow", over="hw"),
    ),
    "windows of a row": program(
        op("window", over="h", size=2, grid=True), op("softmax", axes=["1.h"]), op("unwindow", over="h", grid=True), rank=1
    ),
    "pool of a row": program(op("pool", over="h", k=2, how="max"), FC, op("upsample", over="h", k=2), rank=1),
    "overlapping sum of a row": program(op("fc", to="3*C"), op("subpixel", over="h", k=3), op("col2im", over="h"), rank=1),
    "pixel shuffle of a row": program(
        op("pool", over="h", k=2, how="mean"), op("fc", to="2*C"), op("subpixel", over="h", k=2), op("unwindow", over="h"),
        rank=1,
    ),
    "parts of a row": program(FC, shifted("zero", (1, 0), (0, 0), (-2, 0), (3, 0)), rank=1),
    "attention by head of a row": program(*MAPS, *GROUPS, *attention(["g"], 4), rank=1),
    "reassembled row": program(op("unfold", over="h", k=3), op("fc", ins=[0], to="3"), op("reassemble", ins=[1, 2]), rank=1),
    "gram of each head": program(
        op("group", by="G"), op("bmm", ins=[1, 1], batch=["g"], t=[False, True]), op("bmm", ins=[2, 1], batch=["g"]), rank=0
    ),
}  # fmt: skip

# One filter along an axis: of images (a convolution), of channels, of what has no positions, of matrices.
MEAN = op("fold", axes=["1.h", "1.w"], how="mean")
GATED = (op("sigmoid"), op("mul", ins=[3, 0]))
PROGRAMS |= {
    "filter of rows": program(op("filter", axis="1.h", k=3)),
    "filter of columns, spread": program(op("tanh"), op("filter", axis="1.w", k=5, d=2), op("bias", axes=["0.c"])),
    "filter of channels": program(op("filter", axis="0.c", k=3), op("relu")),
    "filter of channels in groups, spread": program(
        op("group", by="G"), op("filter", axis="0.c", k=3, d=2), op("add", ins=[0, 2])
    ),
    "filter of averaged channels": program(MEAN, op("filter", axis="0.c", k=5), *GATED),
    "filter of channels, averaged": program(op("filter", axis="0.c", k=5), MEAN, *GATED),
    "filter of rows, averaged": program(op("filter", axis="1.h", k=3), op("fold", axes=["1.h"], how="mean"), *GATED),
    "filter of channels of taps": program(UNFOLD, op("filter", axis="0.c", k=3), op("fc", to="C")),
    "filter of channels of raised taps": program(UNFOLD, op("exp"), op("filter", axis="0.c", k=3), op("fc", to="C")),
    "filter of rows of taps": program(
        op("unfold", over="h", k=3), op("filter", axis="1.h", k=3), op("filter", axis="1.w", k=3), op("fc", to="C")
    ),
    "filter of scores": program(
        op("matmul", ins=[0, 0], t=[True, False]), op("filter", axis="0.h", k=3), op("filter", axis="1.w", k=3),
        op("matmul", ins=[0, 3], t=[False, True]),
    ),
    "filter of rows and channels of a row": program(op("filter", axis="0.c", k=7), op("filter", axis="1.h", k=3), rank=1),
    "filter of nothing but channels": program(op("filter", axis="0.c", k=5), op("fc", to="C"), rank=0),
}  # fmt: skip

# Further orders of the same steps: views between a scale and the fold or fc that makes it a convolution.
PROGRAMS |= {
    "viewed depthwise by scale": program(
        UNFOLD, op("scale", axes=["0.c", *TAPS]), op("group", by="G"), op("fold", axes=TAPS, how="mean")
    ),
    "viewed grouped by scale": program(
        op("group", by="G"),
        UNFOLD,
        op("scale", axes=["0.g", "0.c", *TAPS]),
        op("ungroup"),
        op("group", by="4"),
        op("fold", axes=["0.c", *TAPS], how="mean"),
        op("mul", ins=[6, 0]),
    ),
}
