"""Convert other data sets to stored data sets and back, by the name of their format."""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from wsjax.data.collection import Collection
from wsjax.data.dataset import WeightDataset
from wsjax.data.formats.cnn_park import read_cnn_park
from wsjax.data.formats.cnn_zoo import read_cnn_zoo
from wsjax.data.formats.dws import SETS, read_dws
from wsjax.data.formats.fit_a_nef import read_fit_a_nef
from wsjax.data.formats.hsg import read_hsg_zoo
from wsjax.data.formats.nfn import read_nfn_sirens
from wsjax.data.formats.paths import check_new, read_json_file
from wsjax.data.formats.stacked import read_arrays, write_arrays
from wsjax.data.formats.state_dicts import read_state_dicts, write_state_dicts
from wsjax.data.store.save_load import absolute_path, check_free, load, save
from wsjax.errors import check_choice, listing, nearest
from wsjax.networks import Network

FORMATS: dict[str, Callable[..., WeightDataset | Collection]] = {
    **{f"dws-{images}": partial(read_dws, images=images) for images in SETS},
    "nfn-sirens": read_nfn_sirens,
    "fit-a-nef": read_fit_a_nef,
    "state-dicts": read_state_dicts,
    "small-cnn-zoo": read_cnn_zoo,
    "hsg-zoo": read_hsg_zoo,
    "cnn-park": read_cnn_park,
    "arrays": read_arrays,
}
"""What reads each format."""
EXPORTS: dict[str, Callable[..., None]] = {"to-state-dicts": write_state_dicts, "to-arrays": write_arrays}
"""What writes a data set of ours for others."""


def convert(format: str, source: str | Path, out: str | Path, **options: Any) -> WeightDataset | Collection:
    """Read a public data set and store it, or export a stored one; returns what was read.

    One that is stopped leaves a directory that does not load, and that must be removed before the same call.

    Args:
        format: a name in `FORMATS`; or `"to-state-dicts"`, which writes a file for each network of a data set of ours,
            or `"to-arrays"`, which writes one file of stacked arrays.
        source, out: the directory to read, and a new one.
        options: of the function that reads the format, as JSON has them: `network` may be the fields of a Network as a
            dict, `labels` a JSON file of labels by path.

    Raises:
        ValueError: an unknown format or option, or `out` holds something. DataError: as the function that reads the
            format. ImportError: a package that this format needs is not installed; the extra is named.

    Example:
        >>> import pathlib, tempfile
        >>> import numpy as np
        >>> directory = pathlib.Path(tempfile.mkdtemp())
        >>> layer = {"0.weight": np.ones((2, 2), np.float32), "0.bias": np.ones(2, np.float32)}
        >>> last = {"1.weight": np.ones((1, 2), np.float32), "1.bias": np.ones(1, np.float32)}
        >>> np.savez(directory / "a.npz", label=0, **layer, **last)
        >>> network = {"kind": "mlp", "widths": [2, 2, 1], "activation": "tanh"}
        >>> convert("state-dicts", directory, directory / "ours", network=network, progress=False)
        WeightDataset('state-dicts', 1 networks: 1 train, 0 validation, 0 test)
    """
    check_choice("format", format, (*FORMATS, *EXPORTS))
    target, function = absolute_path(out), {**FORMATS, **EXPORTS}[format]
    (check_new if format in EXPORTS or target.is_file() else check_free)(target)
    bound = getattr(function, "keywords", {})
    parameters = list(inspect.signature(function).parameters)[2 if format in EXPORTS else 1 :]
    known = [name for name in parameters if name not in bound]
    for name in options:
        check_choice(f"option of {format}", name, known)
    settings = {name: _setting(name, value) for name, value in options.items()}
    if format in EXPORTS:
        dataset = load(source)
        EXPORTS[format](dataset, target, **settings)
        return dataset
    read = FORMATS[format](source, **settings)
    if isinstance(read, Collection):
        read.save(target)
    else:
        save(read, target)
    return read


def _setting(name: str, value: Any) -> Any:
    if name == "network" and isinstance(value, Mapping):
        fields = list(inspect.signature(Network).parameters)
        unknown = sorted(set(value) - set(fields))
        if unknown:
            found = f"network has fields {listing(unknown)}"
            raise ValueError(f"{found}; those of a Network are: {listing(fields)}.{nearest(unknown[0], fields)}")
        plain: dict[str, Any] = {key: tuple(item) if isinstance(item, list) else item for key, item in value.items()}
        return Network(**plain)
    if name == "labels" and isinstance(value, str | Path):
        return read_json_file(value)
    return tuple(value) if isinstance(value, list) else value
