"""The form of the public surface: what a reader of one function may expect of all."""

import ast
import importlib
import inspect
import pkgutil
import re
import textwrap
from collections.abc import Callable

import pytest

import wsjax
from wsjax import augment
from wsjax.augment import CATALOGUE

# What a command does is said by its help, which tests/test_cli.py holds to it.
PACKAGES = [module.name for module in pkgutil.iter_modules(wsjax.__path__) if module.ispkg and module.name != "cli"]
COMBINATORS = {"batched", "chain", "on", "one_of", "with_probability"}
SPEC_GRAMMAR = {"format_spec", "from_spec", "read_spec"}
EFFECTS = ("**Preserves**", "**Transforms**", "**Perturbs**", "**Mixes**")


def exported(package: str) -> dict[str, Callable]:
    module = importlib.import_module(f"wsjax.{package}")
    return {name: inspect.unwrap(f) for name, f in vars(module).items() if inspect.isfunction(f)}


FUNCTIONS = {f"{package}.{name}": f for package in PACKAGES for name, f in exported(package).items()}
ATOMS = {
    name: f
    for name, f in exported("augment").items()
    if name not in COMBINATORS | SPEC_GRAMMAR
    and next(iter(inspect.signature(f).parameters)) == "key"
    and name != "partners"
}


def test_the_packages_are_found():
    assert {"symmetry", "networks", "augment", "models", "data", "train", "viz"} <= set(PACKAGES)
    assert {"permute", "rotate", "noise", "mixup"} <= set(ATOMS)


def test_the_registry_holds_every_augmentation_and_nothing_else():
    """All that is public and takes a key, but for what composes, reads text or draws partners."""
    assert set(ATOMS) == set(CATALOGUE)
    assert all(CATALOGUE[name].function is getattr(augment, name) for name in CATALOGUE)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_public_function_says_what_it_does_with_an_example(name: str):
    text = inspect.getdoc(FUNCTIONS[name]) or ""
    assert ">>>" in text, f"wsjax.{name} has no doctest Example"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_public_function_speaks_of_every_argument(name: str):
    """In its Args, as `name:` or `name,`; a short one without Args, anywhere in its words."""
    words = (inspect.getdoc(FUNCTIONS[name]) or "").partition("Example:")[0]
    listed = re.findall(r"[\w*]+(?=[:,])", words.partition("Args:")[2].partition("Raises:")[0])
    told = {word.lstrip("*") for word in listed} if listed else set(re.findall(r"\w+", words))
    missing = inspect.signature(FUNCTIONS[name]).parameters.keys() - told
    assert not missing, f"wsjax.{name} says nothing of {sorted(missing)}"


def refuses(f: Callable) -> bool:
    """Whether its own lines raise an error, or call one of the checks that do nothing else."""
    nodes = list(ast.walk(ast.parse(textwrap.dedent(inspect.getsource(f)))))
    calls = [node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    return any(isinstance(node, ast.Raise) for node in nodes) or any(call.startswith("check_") for call in calls)


@pytest.mark.parametrize("name", [name for name, f in FUNCTIONS.items() if refuses(f)])
def test_a_public_function_that_refuses_says_what(name: str):
    text = inspect.getdoc(FUNCTIONS[name]) or ""
    assert "Raises:" in text, f"wsjax.{name} raises and does not say so"


@pytest.mark.parametrize("name", ATOMS)
def test_an_augmentation_takes_a_key_a_thing_and_named_settings(name: str):
    key, thing, *settings = inspect.signature(ATOMS[name]).parameters.values()
    assert (key.name, thing.name in ("weights", "batch")) == ("key", True)
    assert all(p.kind is p.KEYWORD_ONLY for p in settings), f"{name} takes a setting by position"


@pytest.mark.parametrize("name", [*ATOMS, "affine", "mix"])
def test_an_augmentation_says_what_it_does_to_the_function_and_where_it_comes_from(name: str):
    text = inspect.getdoc(getattr(augment, name)) or ""
    assert sum(effect in text for effect in EFFECTS) == 1, f"{name} states one of {EFFECTS}"
    if name != "mix":
        assert "Source:" in text, f"{name} names no source"
    for setting in inspect.signature(getattr(augment, name)).parameters:
        assert f"{setting}:" in text or f"{setting}," in text, f"{name} does not describe {setting!r}"
