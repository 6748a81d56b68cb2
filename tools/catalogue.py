"""Show the catalogue of augmentations: the table of docs/augmentations.md, its figures, the gallery, the directions.

    .venv/bin/python tools/catalogue.py

Run it after a change of `wsjax.augment.CATALOGUE`. A minute on two cores; the same images each time on one machine.
"""

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree
from matplotlib.figure import Figure
from matplotlib.image import imsave

from wsjax import data, viz
from wsjax.augment import CATALOGUE, mix_basis, parse_batch
from wsjax.augment.inputs import affine, rotation
from wsjax.augment.register import Augmentation
from wsjax.networks import Network
from wsjax.symmetry import Axes, Fixed, Group, symmetry_of
from wsjax.viz.decode import decode
from wsjax.viz.examples import examples, line_of
from wsjax.viz.style import EDGE, SOFT, figure, headline, place, shades, show_image, write

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "augmentations.md"
BEGIN, END = "<!-- made by tools/catalogue.py -->", "<!-- until here -->"
TILE, GAP, TILES = 64, 4, 5
DPI = 100  # as wide as GitHub shows a page
IMAGES, FIRST = 64, (9, 23, 10)  # a 2, a 4, and another 2
ORANGE, BLUE = np.array([[0.95, 0.6, 0.15], [0.1, 0.2, 0.5]], np.float32)

SMALL = {
    "sine": Network("siren", (2, 4, 3)),
    "tanh": Network("mlp", (2, 4, 3), "tanh"),
    "ReLU": Network("mlp", (2, 4, 3), "relu"),
}
"""One network of each kind whose symmetries differ."""
PAIR = symmetry_of(
    {"down": Axes("in", "rank"), "up": Axes("rank*", "out")},
    {"in": Fixed(16), "rank": Group(16, "linear", actions=("linear",)), "out": Fixed(16)},
)
"""A kernel of the first networks as a product of two, on whose inner axis matrices act."""


def main() -> None:
    datasets = fitted()
    (ROOT / "docs" / "catalogue").mkdir(exist_ok=True)
    for i, entry in enumerate(CATALOGUE.values()):
        strip(datasets, entry, jax.random.key(i), figure_of(entry))
    viz.gallery(datasets[0], 0).savefig(ROOT / "docs" / "gallery.png", dpi=DPI)
    directions().savefig(ROOT / "docs" / "directions.png", dpi=DPI)
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}", encoding="utf-8")


def fitted() -> list[data.WeightDataset]:
    """Digits, two networks each, held by SIRENs, by SIRENs in color, and by ReLU networks.

    The first is a 2; the next of another image is a 4, the next of the same class another 2, and the last the same 2
    once more.
    """
    images = data.limit(data.load_images("digits"), IMAGES)
    images = images.take(np.r_[FIRST, np.setdiff1d(np.arange(IMAGES), FIRST)])
    ink = images.pixels
    color = images._replace(pixels=(ink * ORANGE + (1 - ink) * BLUE).astype(np.float32))
    recipe = replace(data.recipe_named("digits"), views=2)
    rgb = replace(recipe, network=replace(recipe.network, widths=(2, 16, 16, 3)))
    relu = replace(recipe, network=Network("mlp", (2, 32, 32, 1), "relu", offset=0.5), steps=1500, learning_rate=1e-2)
    fits = [data.fit(i, recipe=r) for i, r in ((images, recipe), (color, rgb), (images, relu))]
    return [networks.take(np.r_[0, 2 : len(networks), 1]) for networks in fits]


def strip(datasets: list[data.WeightDataset], entry: Augmentation, key: jax.Array, path: Path) -> None:
    """Draw a network and what one augmentation makes of it side by side, of the first data set that allows it."""
    draws = TILES - 1 - (entry.level == "batch")
    tried = (examples(networks, 0, [entry], keys=[key], draws=[draws])[0] for networks in datasets)
    allowed = ((n, line_of(n, 0, one)) for n, one in zip(datasets, tried, strict=True) if one.weights is not None)
    networks, line = next(allowed, None) or (datasets[0], mixed(datasets[0], key))
    decoded = decode(networks, line, shape=(TILE, TILE))
    low, high = networks.metadata.value_range
    tiles = shades(decoded, low=low, high=high)
    page = np.ones((TILE, TILES * (TILE + GAP) - GAP, *tiles.shape[3:]), np.float32)
    for i, tile in enumerate(tiles):
        page[:, i * (TILE + GAP) :][:, :TILE] = tile
    imsave(path, page, cmap="gray", vmin=0, vmax=1, pil_kwargs={"optimize": True})


def mixed(networks: data.WeightDataset, key: jax.Array) -> PyTree:
    """A network and others whose second kernel W is (W M) (M^-1 I), for matrices M of `mix_basis`."""
    first, second, *rest = networks.take(np.array([0] * TILES)).weights
    pair = {"down": second.kernel, "up": jnp.broadcast_to(jnp.eye(16), second.kernel.shape)}
    drawn = jax.vmap(mix_basis(PAIR))(jax.random.split(key, TILES), pair)
    kernel = jnp.where(jnp.arange(TILES)[:, None, None] > 0, drawn["down"] @ drawn["up"], second.kernel)
    return (first, second._replace(kernel=np.asarray(kernel)), *rest)


def figure_of(entry: Augmentation) -> Path:
    return ROOT / "docs" / "catalogue" / f"{entry.name}.png"


def table() -> str:
    """The catalogue as a table in Markdown."""
    lines = ["| name | the function | formula | settings | figure |", "|---|---|---|---|---|"]
    for entry in CATALOGUE.values():
        networks = f" ({kinds})" if (kinds := allowed_for(entry)) else ""
        settings = ", ".join(f"{name}&nbsp;=&nbsp;{value}" for name, value in entry.settings.items())
        image = f'<img src="{figure_of(entry).relative_to(PAGE.parent)}" width="280">'
        cells = (f"`{entry.name}`", f"{entry.effect}{networks}", entry.formula.replace("|", r"\|"), settings, image)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def allowed_for(entry: Augmentation) -> str:
    """The networks that allow an augmentation, in words, where it is not all of them."""
    if "symmetry" not in entry.needs:
        return ""
    kinds = [kind for kind, network in SMALL.items() if allows(network, entry)]
    if not kinds:
        return "linear groups"
    gray = replace(SMALL[kinds[0]], widths=(2, 4, 1))
    colors = () if allows(gray, entry) else ("color",)
    return ", ".join((*(kinds if len(kinds) < len(SMALL) else ()), *colors))


def allows(network: Network, entry: Augmentation) -> bool:
    try:
        parse_batch(entry.name, network.symmetry)
    except ValueError:
        return False
    return True


def directions() -> Figure:
    """Which way the image moves under each map of the coordinates."""
    maps = {
        "f'(x) = f(x + t),  t = (0.5, 0)": (
            {"shift": jnp.array([0.5, 0.0])},
            "The image moves by -t: half a unit,\na quarter of its width, to the left.",
        ),
        "f'(x) = f(x R),  R = rotation(30 degrees)": (
            {"matrix": rotation(jnp.pi / 6)},
            "The image turns by the opposite angle: as y points\ndown, a positive angle turns it anticlockwise.",
        ),
        "f'(x) = f(s x),  s = 2": (
            {"matrix": 2 * jnp.eye(2)},
            "The image becomes half as large.",
        ),
        "f'(x) = f(x A),  A = ((1, 0.5), (0, 1))": (
            {"matrix": jnp.array([[1.0, 0.5], [0.0, 1.0]])},
            "Where x > 0 the image moves to smaller y: its right\nside moves up, its left side down.",
        ),
        "f'(x) = f(x D),  D = diag(-1, 1)": (
            {"matrix": jnp.diag(jnp.array([-1.0, 1.0]))},
            "The first axis is mirrored: left and right\nchange places.",
        ),
    }
    source, weights = letter()
    side, line, left = 1.2, 1.35, 2 * EDGE
    page = figure(0.95 + line * len(maps), width=7.2)
    headline(
        page,
        "Which way the image moves",
        "Coordinates run from -1 to 1, x to the right and y downwards; the cross is the origin.",
    )
    for i, word in enumerate(("f", "f'")):
        write(page, left + (i + 0.5) * (side + 0.15), 0.68, word, color=SOFT, ha="center")
    for i, (formula, (change, words)) in enumerate(maps.items()):
        top = 0.88 + i * line
        moved = affine(weights, symmetry=source.symmetry, **change)
        for j, shown in enumerate((weights, moved)):
            axes = place(page, left + j * (side + 0.15), top, side, side)
            show_image(axes, decode(source, shown, shape=(129, 129)))
            axes.plot([64], [64], "+", color="#D55E00", markersize=9, markeredgewidth=1.2)
        write(page, left + 2 * side + 0.45, top + 0.3, formula, size=9.5, weight="bold")
        write(page, left + 2 * side + 0.45, top + 0.55, words, color=SOFT, linespacing=1.4)
    return page


def letter() -> tuple[data.WeightDataset, tuple]:
    """A letter F in a SIREN that is black for one more width on every side, so that nothing shown is extrapolated."""
    pixels = np.zeros((1, 32, 32, 1), np.float32)
    pixels[0, 11:22, 12:14] = pixels[0, 11:13, 12:20] = pixels[0, 15:17, 12:18] = 1
    one = np.zeros(1, np.int32)
    images = data.Images("letter", pixels, one, one.astype(np.int8), one, ("F",))
    networks = data.fit(images, recipe=replace(data.recipe_named("mnist"), steps=1000, slots=1))
    # Fitted on [-1, 1], where the letter fills the middle half; drawn through half the frame it fills the image.
    return networks, affine(networks.network(0), symmetry=networks.symmetry, matrix=0.5 * jnp.eye(2))


if __name__ == "__main__":
    main()
