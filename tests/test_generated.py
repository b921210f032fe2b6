"""Modules of generated text: importable under their names for as long as they are used."""

import gc
import importlib
import inspect
import linecache
import pickle
import sys

import pytest

from kas import generated

TEXT = "class Answer:\n    def give(self) -> int:\n        return {}\n"


def test_a_class_is_found_where_it_says():
    made = generated.load(TEXT.format(42), "Answer")
    module = importlib.import_module(made.__module__)
    assert made.__module__.startswith("kas.generated.Answer_")
    assert module.Answer is made
    assert pickle.loads(pickle.dumps(made)) is made
    assert inspect.getsource(made) == TEXT.format(42)
    assert made.give.__annotations__["return"] is int


def test_equal_texts_share_a_class_and_others_do_not():
    first, again, other = (generated.load(TEXT.format(n), "Answer") for n in (1, 1, 2))
    assert first is again
    assert first is not other
    assert first.__module__ != other.__module__
    assert (first().give(), other().give()) == (1, 2)


def test_text_that_does_not_run_leaves_nothing():
    with pytest.raises(ZeroDivisionError):
        generated.load("1 / 0", "Answer")
    assert not any(module.__loader__.text == "1 / 0" for name, module in sys.modules.items() if "kas.generated." in name)


def test_the_oldest_go_unless_they_are_used(monkeypatch):
    monkeypatch.setattr(generated, "_KEPT", 1)
    used, name = generated.load(TEXT.format(3), "Answer"), generated.load(TEXT.format(3), "Answer").__module__
    unused = generated.load(TEXT.format(4), "Answer").__module__
    generated.load(TEXT.format(5), "Answer")
    gc.collect()
    assert not {name, unused} & set(sys.modules)
    assert not hasattr(generated, unused.rpartition(".")[2])
    assert importlib.import_module(name).Answer is used
    assert generated.load(TEXT.format(3), "Answer") is used
    with pytest.raises(ModuleNotFoundError, match=unused):
        importlib.import_module(unused)
    assert f"<{unused}>" not in linecache.cache
    assert f"<{name}>" in linecache.cache
