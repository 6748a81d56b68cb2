"""README and the pages in docs: programs run as written, links lead somewhere, figures and tables are of now."""

import re
import runpy
import subprocess
import sys
from functools import partial
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wsjax import data, train
from wsjax.augment import CATALOGUE
from wsjax.train import TrainConfig

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md")] + sorted((ROOT / "docs").glob("*.md"))
README, AUGMENTATIONS, DATA, TRAINING = (
    (ROOT / name).read_text(encoding="utf-8")
    for name in ("README.md", "docs/augmentations.md", "docs/data.md", "docs/training.md")
)
MOST_LINES = 120


def block(page: str, words: str) -> str:
    """The one block of Python of a page with these words in it."""
    (found,) = [code for code in re.findall(r"^```python\n(.*?)^```", page, re.M | re.S) if words in code]
    return found


def test_readme_is_short():
    assert len(README.splitlines()) <= MOST_LINES


def test_links_and_figures_of_every_page_are_there_and_no_figure_is_left_over():
    figures = set()
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r'\]\(([^)#]+)(?:#[\w-]+)?\)|src="([^"]+)"', text):
            where = "".join(target)
            if not where.startswith("http"):
                found = (page.parent / where).resolve()
                assert found.exists(), f"{page.name} links to {where}"
                figures |= {found} if found.suffix == ".png" else set()
    assert {path for path in figures if ROOT / "docs" in path.parents} == set((ROOT / "docs").rglob("*.png"))
    assert {path.stem for path in figures} >= set(CATALOGUE)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["catalogue", "readers"])
def test_a_table_is_the_one_that_its_tool_makes(name):
    tool = runpy.run_path(str(ROOT / "tools" / f"{name}.py"))
    between = tool["PAGE"].read_text(encoding="utf-8").partition(tool["BEGIN"])[2].partition(tool["END"])[0]
    assert between.strip() == tool["table"](), f"{tool['PAGE'].name} has another table: run tools/{name}.py"


@pytest.fixture
def small(networks, monkeypatch):
    """`data.fit` and trainings as the pages write them, at the size of the tests: programs that they share."""
    recipe = data.Recipe(networks.metadata.network, steps=20, learning_rate=2e-2, slots=8)
    real = data.fit

    def fit(source, labels=None, **settings):
        if isinstance(source, str):
            return networks
        return real(source, labels, **settings, recipe=recipe, progress=False)

    monkeypatch.setattr(data, "fit", fit)
    monkeypatch.setattr(train, "fit", partial(train.fit, progress=False))
    short = lambda augment="", **_: TrainConfig(augment, epochs=2, batch_size=16, evaluate_every=2)
    monkeypatch.setattr(train, "TrainConfig", short)


def test_the_programs_of_the_pages_run(small, networks, tmp_path, monkeypatch):
    """An augmentation in a loop of one's own, a reader in a loop of one's own, a reader of one's own, data sets in a
    line, and an augmentation by name."""
    monkeypatch.chdir(tmp_path)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):  # Optax asks for both
        exec(block(AUGMENTATIONS, "symmetry.dense"), names := {})
    moved, given = names["batch"], names["stacked_params"]
    assert jax.tree.structure(moved) == jax.tree.structure(given)
    assert not any(np.array_equal(moved[layer]["kernel"], given[layer]["kernel"]) for layer in moved)
    assert np.any(np.asarray(names["reader"]) != 0)

    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        exec(block(TRAINING, "models.DWS"), names := {})
    assert names["logits"].shape == (len(names["labels"]), 10)
    assert np.isfinite(np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(names["params"])])).all()

    exec(block(TRAINING, "class MyReader"), names := {})
    outputs = names["result"].predict(names["weights"])
    assert (len(names["result"].runs), outputs.shape) == (3, (len(networks.split("test")), 10))

    exec(block(DATA, "random_split"), names := {})
    assert [len(names["dataset"].split(name)) for name in data.sources.SPLITS] == [16, 2, 2]
    assert len(data.load("runs/mine")) == 20

    try:
        exec(block(AUGMENTATIONS, "augment.register(my_augmentation)"), names := {})
        weights = networks.network(0)
        assert jax.tree.leaves(names["pipeline"]) == [10.0, 0.1]
        one, other = (names["my_augmentation"](jax.random.key(0), weights, std=std) for std in (0.0, 0.1))
        assert np.array_equal(one[0].kernel, weights[0].kernel)
        assert not np.array_equal(other[0].kernel, weights[0].kernel)
    finally:
        CATALOGUE.pop("my_augmentation", None)


def test_readmes_program_runs_at_a_small_size(small, capsys):
    exec(block(README, "train.evaluate"), names := {})
    assert names["result"].runs == tuple(train.Run(seed) for seed in range(3))
    table, scores = capsys.readouterr().out.rstrip().rpartition("\n")[::2]
    assert len(table.splitlines()) == 4
    assert len(scores.split(",")) == 3


@pytest.mark.slow
def test_readmes_program_runs_as_written(tmp_path):
    command = [sys.executable, "-c", block(README, "train.evaluate")]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=600)
    scores = [float(score) for score in found.stdout.rstrip().splitlines()[-1].strip("[]").split(",")]
    assert min(scores) > 0.5  # a tenth is chance


class Module(nn.Module):
    """The Flax module that the page on data speaks of."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = jnp.tanh(nn.Dense(64)(x))
        return nn.Dense(1)(x)


def test_the_example_of_ones_own_networks_runs():
    key, x = jax.random.key(0), jnp.ones((3, 2))
    variables = [Module().init(jax.random.fold_in(key, i), x) for i in range(2)]
    names = {"module": Module(), "variables": variables[0], "list_of_variables": variables, "labels": [0, 1]}
    names |= {"data": data, "key": key, "x": x}
    exec(block(DATA, "symmetry_of"), names)
    assert (len(names["networks"]), names["networks"].symmetry) == (2, names["spec"])
