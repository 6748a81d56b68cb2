"""The HDF5 sets of fit-a-nef and neural-field-arena.

`{dataset}/{nef}/nefs_{start}-{end}.hdf5` holds a row of parameters for each network, a list of their names and shapes,
and labels; `nef.json` beside them the architecture with its w0, `cfg.json` the data set and how it was fitted. Networks
go on counting through the images as often as there were seeds: image = number mod images, view = number // images.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from wsjax.data.dataset import WeightDataset
from wsjax.data.formats.fit_a_nef_files import read_rows
from wsjax.data.formats.gather import finish
from wsjax.data.formats.nfn import CIFAR
from wsjax.data.formats.paths import inside, read_json_file
from wsjax.data.metadata import Metadata
from wsjax.data.sources.registry import DIGITS
from wsjax.errors import DataError, check_choice, listing
from wsjax.networks import Network
from wsjax.typing import Layer


class FitANefSet(NamedTuple):
    """What the networks of a data set were fitted to; pixels were shifted by `mean` and divided by `deviation`."""

    images: int
    cuts: tuple[int, int]
    shape: tuple[int, int, int] | None
    mean: tuple[float, ...] = (0.0,)
    deviation: tuple[float, ...] = (1.0,)
    classes: tuple[str, ...] = ()


SETS = {
    "MNIST": FitANefSet(70_000, (55_000, 60_000), (28, 28, 1), (0.13066047,), (0.30810782,), DIGITS),
    "CIFAR10": FitANefSet(
        60_000,
        (45_000, 50_000),
        (32, 32, 3),
        (0.49186882, 0.48265392, 0.44717726),
        (0.24697122, 0.24338895, 0.2615926),
        CIFAR,
    ),
    "MicroImageNet": FitANefSet(
        60_000,
        (45_000, 50_000),
        (64, 64, 3),
        (0.4643375754, 0.4339415729, 0.3821317673),
        (0.1894976445, 0.1870717479, 0.2144598670),
    ),
    "ShapeNet": FitANefSet(34_800, (27_840, 31_320), None),
}


def read_fit_a_nef(
    directory: str | Path,
    dataset: str | FitANefSet | None = None,
    *,
    leave_out: Sequence[int] = (),
    progress: bool = True,
) -> WeightDataset:
    """SIRENs and ReLU MLPs of fit-a-nef, parsed by the names of their parameters.

    The metadata's `value_range` is that of the normalized pixels; `source["pixel_mean"]` and
    `source["pixel_deviation"]` turn decoded values into pixels exactly. Whether all networks began as one
    (`source["shared_init"]`) matters: such a set hardly shows the permutations that its symmetry allows.

    Args:
        directory: `{dataset}/{nef}`.
        dataset: `"MNIST"`, `"CIFAR10"`, `"MicroImageNet"`, `"ShapeNet"`, or what another one is; None takes the name in
            `cfg.json`, or else that of the directory around it.
        leave_out: numbers of networks to leave out.
        progress: show a bar.

    Raises:
        ValueError: an unknown data set.
        DataError: another kind of network, files that do not follow on one another or differ in their parameters, a
            number that is not finite, or a file that is not safe to read; each is named.

    Source: fit-a-nef and neural-field-arena (both MIT), their code.

    Example:
        >>> read_fit_a_nef("/nowhere", "MNIST")
        Traceback (most recent call last):
        wsjax.errors.DataError: /nowhere/nef.json cannot be read as JSON ([Errno 2] No such file or directory: ...
    """
    root = Path(directory)
    nef = read_json_file(inside(root / "nef.json", root))
    cfg = inside(root / "cfg.json", root)
    settings = read_json_file(cfg) if cfg.is_file() else {}
    name, fitted = _fitted(root, dataset, settings)
    rows = read_rows(root, leave_out, progress)
    weights = _layers(rows.parameters, root)
    network = _network(nef, weights, str(root / "nef.json"))
    low, high = (np.subtract(edge, fitted.mean) / np.asarray(fitted.deviation) for edge in (0.0, 1.0))
    metadata = Metadata(
        f"fit-a-nef-{name.lower()}",
        network,
        network.symmetry,
        image_shape=fitted.shape,
        value_range=(float(low.min()), float(high.max())),
        classes=fitted.classes or tuple(map(str, range(int(rows.label.max()) + 1))),
        source={
            "format": "fit-a-nef",
            "nef": nef,
            "pixel_mean": fitted.mean,
            "pixel_deviation": fitted.deviation,
            "shared_init": settings.get("train", {}).get("fixed_init"),
            "files": rows.files,
            "left_out": [*leave_out],
        },
    )
    image = rows.number % fitted.images
    columns = {"image": image, "view": rows.number // fitted.images, "split": np.digitize(image, fitted.cuts)}
    return finish(metadata, weights, rows.label, columns)


def _fitted(root: Path, dataset: str | FitANefSet | None, settings: Mapping[str, Any]) -> tuple[str, FitANefSet]:
    if isinstance(dataset, FitANefSet):
        return root.resolve().parent.name, dataset
    named = dataset or settings.get("dataset", {}).get("name") or root.resolve().parent.name
    check_choice("data set", named, tuple(SETS))
    return named, SETS[named]


def _layers(parameters: Mapping[str, np.ndarray], root: Path) -> tuple[Layer, ...]:
    """Stacked layers, in the order of the numbers in their names, the one called output last."""
    order: dict[tuple[int, int], str] = {}
    for name in parameters:
        found = re.fullmatch(r"(?:kernel_net_(\d+)\.linear|Dense_(\d+)|(output_linear))\.(?:bias|kernel)", name)
        if found is None:
            raise DataError(f"{root} has a parameter {name!r}; expected those of a SIREN or an MLP of fit-a-nef")
        number = found[1] or found[2]
        order[(0, int(number)) if number else (1, 0)] = name.rpartition(".")[0]
    layers = [order[place] for place in sorted(order)]
    missing = [f"{m}.{p}" for m in layers for p in ("kernel", "bias") if f"{m}.{p}" not in parameters]
    if missing:
        raise DataError(f"{root} lacks the parameters {listing(missing)}; expected a kernel and a bias in every layer")
    return tuple(Layer(parameters[f"{layer}.kernel"], parameters[f"{layer}.bias"]) for layer in layers)


def _network(nef: Any, weights: tuple[Layer, ...], where: str) -> Network:
    kind = nef.get("name") if isinstance(nef, dict) else None
    if kind not in ("SIREN", "MLP"):
        raise DataError(f"{where} describes a {kind!r}; wsjax reads SIREN and MLP")
    shapes = [layer.kernel.shape[1:] for layer in weights]
    chained = all(a[-1:] == b[:1] for a, b in pairwise(shapes))
    biases = [layer.bias.shape[1:] for layer in weights]
    if not chained or any(len(shape) != 2 for shape in shapes) or biases != [shape[1:] for shape in shapes]:
        raise DataError(
            f"{where}: the kernels have shapes {shapes} and the biases {biases}; expected a chain of layers"
        )
    widths = (shapes[0][0], *(shape[1] for shape in shapes))
    if kind == "MLP":
        return Network("mlp", widths, activation="relu")
    w0 = nef.get("params", {}).get("omega_0")
    if not isinstance(w0, int | float):
        raise DataError(f"{where} has omega_0 = {w0!r}; expected the frequency of its sines")
    return Network("siren", widths, w0=(float(w0),), family="nfn")
