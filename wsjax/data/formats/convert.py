"""Foreign data sets into the store and out of it, by the name of their format."""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from wsjax.data.collection import Collection
from wsjax.data.dataset import WeightDataset
from wsjax.data.formats.cnn_park import read_cnn_park
from wsjax.data.formats.cnn_zoo import read_cnn_zoo
from wsjax.data.formats.dws import read_dws_fashion, read_dws_mnist, read_dws_multiview
from wsjax.data.formats.export import write_state_dicts
from wsjax.data.formats.fit_a_nef import read_fit_a_nef
from wsjax.data.formats.hsg import read_hsg_zoo
from wsjax.data.formats.nfn import read_nfn_sirens
from wsjax.data.formats.paths import check_new, read_json_file
from wsjax.data.formats.stacked import read_arrays, write_arrays
from wsjax.data.formats.state_dicts import read_state_dicts
from wsjax.data.store.collection_store import save_collection
from wsjax.data.store.save_load import absolute_path, check_free, load, save
from wsjax.errors import check_choice, listing, nearest
from wsjax.networks import Network

FORMATS: dict[str, Callable[..., WeightDataset | Collection]] = {
    "dws-mnist": read_dws_mnist,
    "dws-fashion-mnist": read_dws_fashion,
    "dws-fashion-multiview": read_dws_multiview,
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
    """Read a public data set and store it as ours, or export one of ours.

    One that is stopped leaves a directory that does not load, and that must be removed before the same call.

    Args:
        format: a name in `FORMATS`; or one in `EXPORTS`, which write a data set of ours: `"to-state-dicts"` a file for
            each network, `"to-arrays"` one file of stacked arrays.
        source: the directory to read.
        out: a new directory.
        options: of the function that reads the format, as JSON has them: `network` may be the fields of a Network as a
            dict, `labels` a JSON file of labels by path.

    Returns:
        What was read.

    Raises:
        ValueError: an unknown format or option, or `out` holds something.
        DataError: as the function that reads the format.
        ImportError: a package that this format needs is not installed; the extra is named.

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
    target = absolute_path(out)
    if format in EXPORTS or target.is_file():
        check_new(target)
    else:
        check_free(target)
    function = {**FORMATS, **EXPORTS}[format]
    known = list(inspect.signature(function).parameters)[2 if format in EXPORTS else 1 :]
    for name in options:
        check_choice(f"option of {format}", name, known)
    settings = {name: _setting(name, value) for name, value in options.items()}
    if format in EXPORTS:
        dataset = load(source)
        EXPORTS[format](dataset, target, **settings)
        return dataset
    read = FORMATS[format](source, **settings)
    if isinstance(read, Collection):
        save_collection(read, target)
    else:
        save(read, target)
    return read


def _setting(name: str, value: Any) -> Any:
    if name == "network" and isinstance(value, Mapping):
        fields = list(inspect.signature(Network).parameters)
        plain: dict[str, Any] = {
            field: tuple(item) if isinstance(item, list) else item for field, item in value.items()
        }
        unknown = sorted(set(plain) - set(fields))
        if unknown:
            raise ValueError(
                f"network has fields {listing(unknown)}; those of a Network are: {listing(fields)}."
                f"{nearest(unknown[0], fields)}"
            )
        return Network(**plain)
    if name == "labels" and isinstance(value, str | Path):
        return read_json_file(value)
    return tuple(value) if isinstance(value, list) else value
