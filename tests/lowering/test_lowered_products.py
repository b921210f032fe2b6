"""Batched products and reassembly against the definitions, and every new program exported, compiled, copied."""

from __future__ import annotations

import copy

import op_reference as reference
import pytest
import torch
from kernel_sizes import fitting
from lowering_programs import PROGRAMS, SIZES
from torch import Tensor

from kas.language import FAMILIES
from kas.lowering import build, source

LOWERINGS = ["plain", "optimized"]
NEW = {primitive.op for family in ("windows", "products") for primitive in FAMILIES[family]}
NAMES = [name for name, kernel in PROGRAMS.items() if any(step.op in NEW for step in kernel.steps)]
C, G = 8, 2


def made(kernel, lowering="optimized", channels=16):
    size = fitting(kernel, SIZES[kernel.rank][0])
    return build(kernel, channels=channels, size=size, groups=4, values=dict.fromkeys(kernel.variables, 8), lowering=lowering)


def checked(name, expected, *, channels=C):
    """Both lowerings at two sizes, with random weights, against a function of the input and the weights."""
    kernel = PROGRAMS[name]
    for lowering in LOWERINGS:
        torch.manual_seed(0)
        module = build(kernel, channels=channels, size=SIZES[kernel.rank][0], groups=G, lowering=lowering).double()
        for size in [(6, 10), (4, 6)][: len(SIZES[kernel.rank])]:
            x = torch.randn(2, channels, *size[: kernel.rank], dtype=torch.double)
            with torch.no_grad():
                weights = [p.flatten(1) for p in module.parameters()]
                assert torch.allclose(module(x), expected(x, *weights), atol=1e-12), lowering


def mapped(x: Tensor, weight: Tensor) -> Tensor:
    return torch.einsum("oc,nc...->no...", weight, x)


IMAGE = ["0.c", "1.h", "1.w"]
HEADS = ["0.g", *IMAGE]


def attended(query, key, value, names, batch):
    """Scores, a softmax and the average of the values, by the definitions; names and tensor of the result."""
    order, weights = reference.bmm((names, query), (names, key), batch, [True, False], True)
    homes = [f"0.{name}" for name in batch] + order[len(batch) :]
    return reference.bmm((names, value), (homes, weights), batch, [False, True], False)


def placed(result, wanted):
    names, tensor = result
    short = [name.partition(".")[2] or name for name in names]
    return tensor.permute(0, *(1 + short.index(name) for name in wanted))


@pytest.mark.parametrize(("name", "axis"), [("attention by row", "h"), ("attention by column", "w")])
def test_attention_along_lines(name, axis):
    def expected(x, *weights):
        return placed(attended(*(mapped(x, w) for w in weights), IMAGE, [axis]), "chw")

    checked(name, expected)


@pytest.mark.parametrize(("name", "batch"), [("attention by head", ["g"]), ("attention by head and row", ["g", "h"])])
def test_attention_by_head(name, batch):
    def expected(x, query, key, value, *out):
        parts = [mapped(x, w).unflatten(1, (G, -1)) for w in (query, key, value)]
        y = placed(attended(*parts, HEADS, batch), "gchw").flatten(1, 2)
        return mapped(y, out[0]) if out else y

    checked(name, expected)


def test_attention_in_windows():
    taps = ["0.g", "0.c", "0.kh", "0.kw", "1.h", "1.w"]

    def expected(x, query, key, value, out):
        n, _, h, w = x.shape
        parts = []
        for weight in (query, key, value):
            whole = mapped(x, weight).reshape(n, G, -1, 1, 1, h, w)
            parts.append(reference.window(whole, "hw", 2, True))
        y = placed(attended(*parts, taps, ["g", "kh", "kw"]), ["g", "c", "kh", "kw", "h", "w"])
        return mapped(reference.unwindow(y, "hw", True).reshape(x.shape), out)

    checked("attention in windows", expected)


def test_attention_of_channels():
    def expected(x, *weights):
        query, key, value = (mapped(x, w).unflatten(1, (G, -1)) for w in weights)
        names, scores = reference.bmm((HEADS, query), (HEADS, key), ["g"], [False, True], True)
        assert names == ["g", "0.c", "1.c"]
        weighed = reference.bmm((["0.g", "0.c", "1.c"], scores), (HEADS, value), ["g"], [False, False], False)
        return placed(weighed, "gchw").flatten(1, 2)

    checked("attention of channels by head", expected)


def test_product_of_both_transposed():
    def expected(x):
        scores = torch.einsum("nchw,nchv->nhwv", x, x) / x.shape[1] ** 0.5
        return torch.einsum("nhwv,nchw->nchv", scores, x) / x.shape[3] ** 0.5

    checked("product of both transposed", expected)


def test_gram_of_each_head():
    def expected(x):
        y = x.unflatten(1, (G, -1))
        return torch.einsum("ngc,ngd,ngd->ngc", y, y, y).flatten(1) / (C // G) ** 0.5

    checked("gram of each head", expected)


def taps_of(x, k=3):
    """`[N, g, c, k, k, h, w]`, zeros outside."""
    n, c, h, w = x.shape
    taps = torch.nn.functional.unfold(x, k, padding=k // 2)
    return taps.reshape(n, G, c // G, k, k, h, w)


def test_reassembly_is_an_involution():
    def expected(x, weight):
        n, _, h, w = x.shape
        matrix = torch.softmax(mapped(x, weight).reshape(n, G, 9, 1, 1, h, w), 2)
        return reference.reassemble(taps_of(x), matrix).reshape(x.shape)

    checked("reassembled by group", expected)


def test_reassembly_with_one_matrix_for_all_groups():
    def expected(x, weight):
        padded = torch.nn.functional.pad(x, (1, 1))
        rows = torch.stack([padded[..., j : j + x.shape[3]] for j in range(3)], 2)
        return torch.einsum("nckhw,nkhw->nchw", rows, mapped(x, weight))

    checked("reassembled alike in all groups", expected)


def test_outlook_attention():
    def expected(x, weight):
        n, _, h, w = x.shape
        matrix = reference.subpixel(mapped(x, weight).reshape(n, G, 81, 1, 1, h, w), "hw", 3)
        y = reference.reassemble(taps_of(x), torch.softmax(matrix, 2))
        return reference.col2im(y, "hw", 1).reshape(x.shape)

    checked("outlook attention", expected)


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("name", [name for name in NAMES if PROGRAMS[name].rank])
def test_export_with_any_batch_and_size(name, lowering):
    kernel = PROGRAMS[name]
    module, sizes = made(kernel, lowering).eval(), SIZES[kernel.rank]
    dynamic = dict.fromkeys((0, *range(2, 2 + kernel.rank)), torch.export.Dim.AUTO)
    exported = torch.export.export(module, (torch.randn(2, 16, *sizes[0]),), dynamic_shapes=(dynamic,)).module()
    other = torch.randn(5, 16, *sizes[1])
    assert torch.allclose(exported(other), module(other), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_compiled_as_one_graph(name):
    module, x = made(PROGRAMS[name]), torch.randn(2, 16, *SIZES[PROGRAMS[name].rank][0], requires_grad=True)
    torch._dynamo.reset()
    compiled = torch.compile(module, fullgraph=True, backend="eager")
    found = compiled(x)
    assert torch.allclose(found, module(x), rtol=1e-4, atol=1e-5)
    found.sum().backward()


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("name", NAMES)
def test_copies(name, lowering):
    module, x = made(PROGRAMS[name], lowering), torch.randn(2, 16, *SIZES[PROGRAMS[name].rank][0])
    expected = module(x)
    assert torch.equal(copy.deepcopy(module)(x), expected)
    other = made(PROGRAMS[name], lowering)
    other.load_state_dict(module.state_dict())
    assert torch.equal(other(x), expected)


@pytest.mark.parametrize("name", NAMES)
def test_forwards_have_names_and_no_lambdas(name):
    text = source(PROGRAMS[name], channels=16, size=SIZES[PROGRAMS[name].rank][0], groups=4, check=False)
    assert "lambda" not in text
    text = text.replace(".chunk(3, 3)", "")  # queries, keys and values
    assert (".chunk(" in text) == any(step.op == "spatial_shift" for step in PROGRAMS[name].steps)
