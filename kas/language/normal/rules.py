"""The one table of rewrite rules: the op of a step, the op of its operand, the rule, and the reason.

Each rule is a small function; it gives the edge of an equal tensor (equal functions, the same weights up to a view and a
constant factor) or None where its conditions do not hold. The rules of a step are tried in the order of the table, against an
operand of the op that the row names (ANY: every op). Sums, products, extremes (`arithmetic`) and chains of matrix products
(`chains`) are flat and unordered by construction. Rewriting ends: a rule removes a node or moves one in its one direction
(numbers, rolls, shuffles, taps, and what is constant along the axes outwards; folds inwards).
"""

from __future__ import annotations

from kas.language.normal import folds, functions, maps, means, mixes, moves, pools, slides, views
from kas.language.normal.graph import Rule
from kas.language.normal.moves import POINTWISE

__all__ = ["RULES", "TABLE"]

ANY = ("any",)
ADD, MUL, MAX, ROLL, PERM, UNF, MEAN, PEAK, LIN, MIX, MM, SLIDE = (
    (op,) for op in ("add", "mul", "max", "roll", "perm", "unf", "mean", "peak", "lin", "mix", "mm", "slide")
)
SHIFTS = ("roll", "perm")
SHIFTS_AND_TAPS = ("roll", "perm", "unf")
RISING = ("relu", "sigmoid", "tanh", "exp")
NODES = (
    *("in", "w", "add", "mul", "max", "min", "roll", "perm", "unf", "mean", "peak", "softmax", "l2", "standard"),
    *("lin", "mix", "slide", "mm", "fixed", *POINTWISE),
)

TABLE: tuple[tuple[str, tuple[str, ...], Rule, str], ...] = (
    ("roll", ADD, moves.linear_number("roll"), "f(q x) = q f(x)"),
    ("roll", ROLL, moves.roll_roll, "rolls of one axis add up, of several commute"),
    ("roll", UNF, moves.roll_unf, "a roll along an axis without taps commutes with them"),
    ("roll", PERM, moves.roll_perm, "a roll of one side commutes with a shuffle of the other"),
    ("perm", ADD, moves.linear_number("perm"), "f(q x) = q f(x)"),
    ("perm", ANY, moves.perm_empty, "a shuffle with an empty axis does nothing"),
    ("perm", PERM, moves.perm_perm, "a shuffle and its inverse cancel; shuffles of both sides are one"),
    (
        "perm",
        (*LIN, *ADD, *MUL, *POINTWISE),
        views.perm_weight,
        "the outputs of a dense map in another order: its weight viewed",
    ),
    ("unf", ADD, moves.linear_number("unf"), "f(q x) = q f(x)"),
    ("unf", UNF, moves.unf_unf, "taps over h then w, or w then h, are taps over both"),
    ("unf", PERM, moves.unf_perm, "a shuffle of channels commutes with taps"),
    ("unf", (*MEAN, *PEAK), pools.unf_fold, "a fold over the taps of one axis, then of another, is over both"),
    ("mean", ANY, folds.nothing, "a fold over no axis does nothing"),
    ("mean", ADD, moves.linear_number("mean"), "f(q x) = q f(x)"),
    ("mean", MEAN, folds.fold_fold("mean"), "one axis after the other is the joint mean"),
    ("mean", ROLL, folds.fold_roll("mean"), "a fold does not see a roll of its axes, and commutes with others"),
    ("mean", PERM, folds.fold_perm("mean"), "a fold does not see a shuffle of its axes, and commutes with others"),
    ("mean", UNF, folds.fold_unf("mean"), "a fold of channels commutes with taps"),
    ("mean", ADD, means.mean_add, "the mean of a sum is the sum of the means"),
    ("mean", MUL, folds.constant_out("mean", "mul"), "a constant factor comes out of a mean"),
    ("mean", MUL, means.mean_scale, "the mean of a scaled side is a map of each group to one output, times a constant"),
    ("mean", LIN, means.mean_lin, "a mean over positions commutes with a map of channels"),
    ("mean", UNF, pools.lin_out, "an average over taps commutes with a map of channels"),
    ("mean", MIX, mixes.mean_mix, "a mean over axes that are not mixed commutes with the mix"),
    ("mean", SLIDE, slides.mean_slide, "a mean over other axes commutes with a filter along one"),
    ("mean", MM, means.mean_chain, "the mean over the rows of A B is (the mean over the rows of A) B"),
    ("peak", ANY, folds.nothing, "a fold over no axis does nothing"),
    ("peak", ADD, folds.peak_number, "max(q x) = q max(x) for q > 0"),
    ("peak", PEAK, folds.fold_fold("peak"), "one axis after the other is the joint maximum"),
    ("peak", ROLL, folds.fold_roll("peak"), "a fold does not see a roll of its axes, and commutes with others"),
    ("peak", PERM, folds.fold_perm("peak"), "a fold does not see a shuffle of its axes, and commutes with others"),
    ("peak", UNF, folds.fold_unf("peak"), "a fold of channels commutes with taps"),
    ("peak", MAX, folds.peak_extreme, "the maximum of a maximum is the maximum of the maxima"),
    ("peak", RISING, folds.peak_rising, "a maximum commutes with a function that never falls"),
    ("peak", ADD, folds.constant_out("peak", "add"), "a constant term comes out of a maximum"),
    (
        "peak",
        MUL,
        folds.constant_out("peak", "mul", functions.gate),
        "max(p x) = p max(x) for a constant p >= 0",
    ),
    ("lin", ADD, moves.linear_number("lin"), "f(q x) = q f(x)"),
    ("lin", PERM, maps.lin_perm, "the inputs of a dense map in another order are a view of its weight; other sides commute"),
    ("lin", PERM, views.depthwise_perm, "a map of each channel commutes with a shuffle of them: a view of its weight"),
    ("lin", UNF, maps.lin_unf, "a map of channels and all taps is a convolution"),
    ("lin", ANY, maps.lin_diagonal, "a map of each channel to itself is a scale"),
    ("lin", ROLL, maps.lin_roll, "a roll along an axis without taps commutes with a map of channels"),
    ("lin", MUL, maps.constant_out, "a factor that does not vary along the channels commutes with their map"),
    ("lin", LIN, maps.lin_lin, "maps of rows and of columns commute"),
    ("lin", MM, maps.lin_chain, "a map of the rows of A B is (the map of the rows of A) B"),
    ("mix", ADD, moves.linear_number("mix"), "f(q x) = q f(x)"),
    ("mix", ANY, mixes.mix_lin, "a mix of one whole side is a dense map"),
    ("mix", UNF, mixes.mix_unf, "a mix of channels commutes with taps"),
    ("mix", ROLL, mixes.mix_roll, "a roll of an axis that is not mixed commutes"),
    ("mix", MUL, mixes.constant_out, "a factor that does not vary along the mixed axes commutes"),
    ("slide", ADD, moves.linear_number("slide"), "f(q x) = q f(x)"),
    ("slide", ROLL, slides.slide_roll, "a roll of another axis commutes"),
    ("slide", PERM, slides.slide_perm, "a shuffle of the other side commutes"),
    ("slide", MUL, slides.constant_out, "a factor that does not vary along the axis commutes"),
    ("relu", ADD, functions.relu_number, "relu(q x) = q relu(x) for q > 0"),
    ("relu", ANY, functions.nothing_below_zero, "relu of what is never negative does nothing"),
    ("relu", SHIFTS_AND_TAPS, functions.move_out("relu"), "f(S x) = S f(x); through zero padding where f(0) = 0"),
    ("relu", ("tanh", "gelu"), functions.inwards("relu"), "both keep the sign and are zero at zero"),
    ("relu", MUL, functions.relu_product, "relu(p x) = p relu(x) where p is never negative"),
    ("abs", ADD, functions.abs_number, "|q x| = |q| |x|"),
    ("abs", ANY, functions.nothing_below_zero, "the absolute value of what is never negative does nothing"),
    ("abs", SHIFTS_AND_TAPS, functions.move_out("abs"), "f(S x) = S f(x); through zero padding where f(0) = 0"),
    ("abs", ("tanh", "recip"), functions.inwards("abs"), "|tanh(x)| = tanh(|x|), and so for the reciprocal"),
    ("abs", MUL, functions.abs_product, "|x y| = |x| |y|"),
    ("sqrt", ("abs", *ADD), functions.sqrt_even, "sqrt is of the absolute value"),
    ("sqrt", SHIFTS, functions.move_out("sqrt"), "f(S x) = S f(x)"),
    ("tanh", ADD, functions.odd("tanh"), "tanh(-x) = -tanh(x)"),
    ("tanh", SHIFTS_AND_TAPS, functions.move_out("tanh"), "f(S x) = S f(x); through zero padding where f(0) = 0"),
    ("sin", ADD, functions.odd("sin"), "sin(-x) = -sin(x)"),
    ("sin", SHIFTS_AND_TAPS, functions.move_out("sin"), "f(S x) = S f(x); through zero padding where f(0) = 0"),
    ("gelu", SHIFTS_AND_TAPS, functions.move_out("gelu"), "f(S x) = S f(x); through zero padding where f(0) = 0"),
    ("sigmoid", SHIFTS, functions.move_out("sigmoid"), "f(S x) = S f(x)"),
    ("exp", SHIFTS, functions.move_out("exp"), "f(S x) = S f(x)"),
    ("recip", SHIFTS, functions.move_out("recip"), "f(S x) = S f(x)"),
    ("softmax", ADD, functions.ignored_bias("softmax"), "a softmax ignores what is added and constant along its axes"),
    ("softmax", ROLL, moves.roll_out("softmax"), "what treats all places alike commutes with a roll"),
    ("softmax", PERM, moves.perm_out("softmax"), "what treats all places alike commutes with a shuffle"),
    ("l2", ADD, functions.odd("l2"), "f(-x) = -f(x)"),
    ("l2", MUL, functions.undone_scale("l2"), "a normalisation undoes a scale that is constant along its axes"),
    ("l2", ROLL, moves.roll_out("l2"), "what treats all places alike commutes with a roll"),
    ("l2", PERM, moves.perm_out("l2"), "what treats all places alike commutes with a shuffle"),
    ("l2", UNF, moves.unf_out("l2"), "what works on channels and keeps zero commutes with taps"),
    ("standard", ADD, functions.odd("standard"), "f(-x) = -f(x)"),
    ("standard", ADD, functions.ignored_bias("standard"), "it ignores what is added and constant along its axes"),
    ("standard", MUL, functions.undone_scale("standard"), "a normalisation undoes a scale that is constant along its axes"),
    ("standard", ROLL, moves.roll_out("standard"), "what treats all places alike commutes with a roll"),
    ("standard", PERM, moves.perm_out("standard"), "what treats all places alike commutes with a shuffle"),
    ("standard", UNF, moves.unf_out("standard"), "what works on channels and keeps zero commutes with taps"),
)


def _sorted_by_ops() -> dict[str, dict[str, tuple[Rule, ...]]]:
    """For each op of a step and of its operand the rules to try."""
    found: dict[str, dict[str, tuple[Rule, ...]]] = {}
    for step in dict.fromkeys(row[0] for row in TABLE):
        rows = [row for row in TABLE if row[0] == step]
        found[step] = {below: tuple(rule for _, ops, rule, _ in rows if ops is ANY or below in ops) for below in NODES}
    return found


RULES = _sorted_by_ops()
