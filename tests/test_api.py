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


def test_an_augmentation_takes_a_key_a_thing_and_named_settings():
    for name, function in ATOMS.items():
        key, thing, *settings = inspect.signature(function).parameters.values()
        assert (key.name, thing.name in ("weights", "batch")) == ("key", True), name
        assert all(p.kind is p.KEYWORD_ONLY for p in settings), f"{name} takes a setting by position"


def test_an_augmentation_says_what_it_does_to_the_function_and_where_it_comes_from():
    for name in [*ATOMS, "affine", "mix"]:
        text = inspect.getdoc(getattr(augment, name)) or ""
        assert sum(effect in text for effect in EFFECTS) == 1, f"{name} states one of {EFFECTS}"
        assert "Source:" in text or name == "mix", f"{name} names no source"
        for setting in inspect.signature(getattr(augment, name)).parameters:
            assert f"{setting}:" in text or f"{setting}," in text, f"{name} does not describe {setting!r}"
