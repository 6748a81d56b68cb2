"""The HDF5 sets of fit-a-nef and neural-field-arena.

`{dataset}/{nef}/nefs_{start}-{end}.hdf5` holds a row of parameters for each network, a list of their names and shapes,
and labels; `nef.json` beside them the architecture with its w0, `cfg.json` the data set and how it was fitted. Networks
go on counting through the images as often as there were seeds: image = number mod images, view = number // images.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from wsjax.data.dataset import WeightDataset
from wsjax.data.formats.archive import hdf5_array, hdf5_text, open_hdf5
from wsjax.data.formats.gather import finish
from wsjax.data.formats.nfn import CIFAR
from wsjax.data.formats.paths import check_left_out, find_files, inside, read_json_file
from wsjax.data.metadata import Metadata
from wsjax.data.sources.mnist import DIGITS
from wsjax.errors import DataError, check_choice
from wsjax.networks import Network
from wsjax.progress import progress_of
from wsjax.typing import Layer

FILES = r"^nefs_(\d+)-(\d+)\.hdf5$"
LAYER = re.compile(r"(kernel_net_(\d+)\.linear|Dense_(\d+)|output_linear)\.(?:bias|kernel)")


class FitANefSet(NamedTuple):
    """What the networks of a data set were fitted to; pixels were shifted by `mean` and divided by `deviation`."""

    images: int
    cuts: tuple[int, int]
    shape: tuple[int, int, int] | None
    mean: tuple[float, ...] = (0.0,)
    deviation: tuple[float, ...] = (1.0,)
    classes: tuple[str, ...] = ()


CIFAR_PIXELS = (0.49186882, 0.48265392, 0.44717726), (0.24697122, 0.24338895, 0.2615926)
IMAGENET_PIXELS = (0.4643375754, 0.4339415729, 0.3821317673), (0.1894976445, 0.1870717479, 0.2144598670)
SETS = {
    "MNIST": FitANefSet(70_000, (55_000, 60_000), (28, 28, 1), (0.13066047,), (0.30810782,), DIGITS),
    "CIFAR10": FitANefSet(60_000, (45_000, 50_000), (32, 32, 3), *CIFAR_PIXELS, CIFAR),
    "MicroImageNet": FitANefSet(60_000, (45_000, 50_000), (64, 64, 3), *IMAGENET_PIXELS),
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
        dataset: `"MNIST"`, `"CIFAR10"`, `"MicroImageNet"`, `"ShapeNet"`, or the `fit_a_nef.FitANefSet` of another; None
            takes the name in `cfg.json`, or else that of the directory around it.
        leave_out, progress: numbers of networks to leave out; show a bar.

    Raises:
        ValueError: an unknown data set. DataError, naming the file: another kind of network, files that do not follow
            on one another or differ in their parameters, a number that is not finite, or a file not safe to read.

    Source: fit-a-nef and neural-field-arena (both MIT), their code.

    Example:
        >>> read_fit_a_nef("/nowhere", "MNIST")
        Traceback (most recent call last):
        wsjax.errors.DataError: /nowhere/nef.json cannot be read as JSON ([Errno 2] No such file or directory: ...
    """
    root = Path(directory)
    nef, cfg = read_json_file(inside(root / "nef.json", root)), inside(root / "cfg.json", root)
    settings = read_json_file(cfg) if cfg.is_file() else {}
    try:
        named, shared_init = settings.get("dataset", {}).get("name"), settings.get("train", {}).get("fixed_init")
    except AttributeError:
        raise DataError(f"{cfg} holds {settings!r}; expected a dict of dicts, `dataset` and `train`") from None
    if isinstance(dataset, FitANefSet):
        name, fitted = root.resolve().parent.name, dataset
    else:
        name = dataset or named or root.resolve().parent.name
        check_choice("data set", name, tuple(SETS))
        fitted = SETS[name]
    files = find_files(root, FILES)
    parameters, number, label = _read_rows(files, leave_out, progress)
    weights = _layers(parameters, root)
    network = _network(nef, weights, str(root / "nef.json"))
    low, high = (np.subtract(edge, fitted.mean) / np.asarray(fitted.deviation) for edge in (0.0, 1.0))
    source = {
        "format": "fit-a-nef",
        "nef": nef,
        "pixel_mean": fitted.mean,
        "pixel_deviation": fitted.deviation,
        "shared_init": shared_init,
        "files": [*files],
        "left_out": [*leave_out],
    }
    metadata = Metadata(
        f"fit-a-nef-{name.lower()}",
        network,
        network.symmetry,
        image_shape=fitted.shape,
        value_range=(float(low.min()), float(high.max())),
        classes=fitted.classes or tuple(map(str, range(int(label.max()) + 1))),
        source=source,
    )
    view, image = np.divmod(number, fitted.images)
    return finish(metadata, weights, label, image=image, view=view, split=np.digitize(image, fitted.cuts))


def _read_rows(
    files: Mapping[str, Path], leave_out: Sequence[int], progress: bool
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Of all networks the stacked parameters by name, the number and the label."""
    layout: list[tuple[str, tuple[int, ...]]] | None = None
    parts, numbers, labels, end = [], [], [], None
    for name, path in progress_of(files.items(), desc="fit-a-nef", unit="files", disable=not progress):
        start, stop = map(int, re.findall(FILES, name)[0])
        if end is not None and start != end:
            raise DataError(f"{path} begins with network {start}; the file before it ends at {end}: complete the set")
        end = stop
        with open_hdf5(path) as file:
            found = _layout(hdf5_text(file, "param_config"), path)
            params, label = hdf5_array(file, "params"), hdf5_array(file, "labels")
        if layout is not None and found != layout:
            raise DataError(f"{path} has the parameters {found}; the files before it have {layout}")
        layout, width = found, sum(math.prod(shape) for _, shape in found)
        fits = (params.shape, label.shape) == ((stop - start, width), (stop - start,))
        if not fits or params.dtype.kind != "f" or label.dtype.kind == "f":
            raise DataError(
                f"{path} has params of shape {params.shape} {params.dtype} and labels {label.shape} {label.dtype}; "
                f"expected ({stop - start}, {width}) floats by its name and its param_config, and as many integers"
            )
        number = np.arange(start, stop)
        keep = ~np.isin(number, leave_out)
        bad = number[keep & ~np.isfinite(params).all(axis=1)][:5].tolist()
        if bad:
            names = f"{path}: networks {bad} are not finite"
            raise DataError(f"{names}; expected finite numbers. Leave them out: leave_out={bad}")
        parts.append(params[keep])
        labels.append(label[keep])
        numbers.append(number)
    number = np.concatenate(numbers)
    check_left_out(leave_out, number.tolist(), f"numbers from {number[0]} to {number[-1]}")
    whole, start, parameters = np.concatenate(parts), 0, {}
    for name, shape in layout or []:
        size = math.prod(shape)
        parameters[name] = whole[:, start : start + size].reshape(len(whole), *shape)
        start += size
    return parameters, number[~np.isin(number, leave_out)], np.concatenate(labels)


def _layout(text: str, path: Path) -> list[tuple[str, tuple[int, ...]]]:
    try:
        layout = [(name, tuple(shape)) for name, shape in json.loads(text)]
    except (ValueError, TypeError, RecursionError) as error:
        raise DataError(f"{path} has a param_config that is no list of [name, shape] ({error})") from None
    names = [name for name, _ in layout]
    sizes = [n for _, shape in layout for n in shape]
    if len(set(map(str, names))) != len(names) or not all(type(n) is int and n > 0 for n in sizes):
        raise DataError(f"{path} has param_config {text[:200]}; expected each name once, with a shape of integers")
    return layout


def _layers(parameters: Mapping[str, np.ndarray], root: Path) -> tuple[Layer, ...]:
    """Stacked layers, in the order of the numbers in their names, the one called output last."""
    numbers: dict[str, float] = {}
    for name in parameters:
        found = LAYER.fullmatch(name)
        if found is None:
            raise DataError(f"{root} has a parameter {name!r}; expected those of a SIREN or an MLP of fit-a-nef")
        numbers[found[1]] = float(found[2] or found[3] or "inf")
    expected = {f"{layer}.{part}" for layer in numbers for part in ("kernel", "bias")}
    if not numbers or set(parameters) != expected or len(set(numbers.values())) < len(numbers):
        raise DataError(
            f"{root} has the parameters {[*parameters]}; expected a kernel and a bias for each layer number"
        )
    ordered = sorted(numbers, key=lambda layer: numbers[layer])
    return tuple(Layer(parameters[f"{layer}.kernel"], parameters[f"{layer}.bias"]) for layer in ordered)


def _network(nef: Any, weights: tuple[Layer, ...], where: str) -> Network:
    kind = nef.get("name") if isinstance(nef, dict) else None
    if kind not in ("SIREN", "MLP"):
        raise DataError(f"{where} describes a {kind!r}; wsjax reads SIREN and MLP")
    shapes = [layer.kernel.shape[1:] for layer in weights]
    biases = [layer.bias.shape[1:] for layer in weights]
    chained = all(a[-1:] == b[:1] for a, b in pairwise(shapes))
    if not chained or any(len(shape) != 2 for shape in shapes) or biases != [shape[1:] for shape in shapes]:
        found = f"{where}: the kernels have shapes {shapes} and the biases {biases}"
        raise DataError(f"{found}; expected a chain of layers")
    widths = (shapes[0][0], *(shape[1] for shape in shapes))
    if kind == "MLP":
        return Network("mlp", widths, activation="relu")
    settings = nef.get("params")
    w0 = settings.get("omega_0") if isinstance(settings, dict) else None
    if not isinstance(w0, int | float):
        raise DataError(f"{where} has omega_0 = {w0!r}; expected the frequency of its sines")
    return Network("siren", widths, w0=(float(w0),), family="nfn")
