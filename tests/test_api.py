"""The form of the public surface: what a reader of one function may expect of all."""

import ast
import importlib
import inspect
import pkgutil
import re
import textwrap
from collections.abc import Callable

import wsjax
from wsjax import augment
from wsjax.augment import CATALOGUE
from wsjax.augment.inputs import affine

# What a command does is said by its help, which tests/test_cli.py holds to it.
PACKAGES = sorted({module.name for module in pkgutil.iter_modules(wsjax.__path__) if module.ispkg} - {"cli", "storage"})
EFFECTS = ("**Preserves**", "**Transforms**", "**Perturbs**", "**Mixes**")


def exported(package: str) -> dict[str, Callable]:
    module = importlib.import_module(f"wsjax.{package}")
    return {name: f for name in module.__all__ if inspect.isfunction(f := getattr(module, name))}


FUNCTIONS = {f"{package}.{name}": f for package in PACKAGES for name, f in exported(package).items()}


def test_dir_shows_what_is_public_and_nothing_else():
    for package in PACKAGES:
        module = importlib.import_module(f"wsjax.{package}")
        assert dir(module) == sorted(name for name in module.__all__ if hasattr(module, name)), package


def test_the_packages_and_the_augmentations_are_found():
    assert {"symmetry", "networks", "augment", "models", "data", "train", "viz"} <= set(PACKAGES)
    assert {"permute", "rotate", "noise", "mixup"} <= set(CATALOGUE)


def test_every_augmentation_is_public_by_its_name():
    """The registry holds the function itself, and the package the factory of its transforms."""
    assert all(getattr(augment, name).__wrapped__ is CATALOGUE[name].function for name in CATALOGUE)


def missing(function: Callable) -> list[str]:
    """What a public function's docstring lacks of an example, every argument, and what it refuses.

    An argument is named in the Args, as `name:` or `name,`; in a short text without Args, anywhere in its words.
    """
    text = inspect.getdoc(function) or ""
    words = text.partition("Example:")[0]
    listed = re.findall(r"[\w*]+(?=[:,])", words.partition("Args:")[2].partition("Raises:")[0])
    told = {word.lstrip("*") for word in listed} if listed else set(re.findall(r"\w+", words))
    lacks = sorted(inspect.signature(function).parameters.keys() - told)
    lacks += [] if ">>>" in text else ["a doctest Example"]
    return lacks + (["Raises:"] if refuses(function) and "Raises:" not in text else [])


def refuses(function: Callable) -> bool:
    """Whether its own lines raise an error, or call one of the checks that do nothing else."""
    nodes = list(ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function)))))
    calls = [node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    return any(isinstance(node, ast.Raise) for node in nodes) or any(call.startswith("check_") for call in calls)


def test_a_public_function_has_an_example_and_speaks_of_every_argument_and_of_what_it_refuses():
    assert not {f"wsjax.{name}": lacks for name, f in FUNCTIONS.items() if (lacks := missing(f))}


def test_a_factory_takes_what_binds_to_data_by_position_and_then_settings_with_defaults():
    for name, entry in CATALOGUE.items():
        key, thing, *bound = inspect.signature(entry.function).parameters.values()
        assert (key.name, thing.name in ("weights", "batch")) == ("key", True), name
        assert list(inspect.signature(getattr(augment, name)).parameters) == [p.name for p in bound], name
        assert [p.name for p in bound if p.kind is not p.KEYWORD_ONLY] == list(entry.required), name


def test_an_augmentation_says_what_it_does_to_the_function_and_where_it_comes_from():
    for name, function in {**{name: getattr(augment, name) for name in CATALOGUE}, "affine": affine}.items():
        text = inspect.getdoc(function) or ""
        assert sum(effect in text for effect in EFFECTS) == 1, f"{name} states one of {EFFECTS}"
        assert "Source:" in text, f"{name} names no source"
        for setting in inspect.signature(function).parameters:
            assert f"{setting}:" in text or f"{setting}," in text, f"{name} does not describe {setting!r}"
