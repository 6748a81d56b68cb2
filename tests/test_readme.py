"""README's code runs, and it shows the catalogue as it is: `tools/catalogue.py` was run after its last change."""

import re
import runpy
from dataclasses import replace
from functools import partial
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.helpers import touched
from wsjax import data, train
from wsjax.augment import CATALOGUE
from wsjax.typing import Batch

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TOOL = ROOT / "tools" / "catalogue.py"


@pytest.mark.slow
def test_the_table_is_the_one_that_the_tool_makes():
    tool = runpy.run_path(str(TOOL))
    between = README.partition(tool["BEGIN"])[2].partition(tool["END"])[0]
    assert between.strip() == tool["table"](), "README's table is not that of the catalogue: run tools/catalogue.py"


def test_every_picture_exists_and_none_is_left_over():
    named = set(re.findall(r"docs/[\w/.-]+\.png", README))
    assert named >= {f"docs/catalogue/{name}.png" for name in CATALOGUE}
    assert named == {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.png")}


def block(words: str) -> str:
    """The one block of Python with these words in it."""
    (found,) = [code for code in re.findall(r"^```python\n(.*?)^```", README, re.M | re.S) if words in code]
    return found


def test_the_first_example_runs(monkeypatch):
    """On 24 images, two steps of a fit and two epochs of a narrow reader."""
    images = data.limit(data.load_images("digits"), 24)
    recipe = replace(data.default_recipe("digits"), steps=2)
    reader = {"channels": 2, "layers": 1, "head": 8}
    small = {"reader_settings": reader, "epochs": 2, "evaluate_every": 2, "batch_size": 16}
    monkeypatch.setattr(data, "load_images", {"digits": images}.__getitem__)
    monkeypatch.setattr(data, "default_recipe", {"digits": recipe}.__getitem__)
    monkeypatch.setattr(train, "Plan", partial(train.Plan, **small))
    names = {}
    exec(block("fit_dataset_in_memory"), names)
    networks, many, step = names["networks"], names["many"], names["step"]
    assert train.evaluate(names["trained"], networks) == pytest.approx([0.5] * 3, abs=0.5)
    batch = Batch(jax.tree.map(lambda x: x[:4], networks.weights), np.eye(4, dtype=np.float32))
    weaker = jax.tree.map(lambda setting: 0.5 * setting, many)
    results = [step(pipeline, jax.random.key(0), batch) for pipeline in (many, weaker)]
    assert len(touched(results[0], results[1])) == len(jax.tree.leaves(batch))
    assert step._cache_size() == 1  # "its settings trace: no recompile"


class Module(nn.Module):
    """The Flax module that README speaks of."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = jnp.tanh(nn.Dense(64)(x))
        return nn.Dense(1)(x)


def test_the_example_of_ones_own_networks_runs():
    key, x = jax.random.key(0), jnp.ones((3, 2))
    variables = [Module().init(jax.random.fold_in(key, i), x) for i in range(2)]
    names = {"module": Module(), "variables": variables[0], "list_of_variables": variables, "labels": [0, 1]}
    names |= {"data": data, "key": key, "x": x}
    exec(block("symmetry_of"), names)
    assert (len(names["networks"]), names["networks"].symmetry) == (2, names["spec"])
