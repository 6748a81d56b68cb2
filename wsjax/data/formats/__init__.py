"""Public weight data sets, and files and modules of other frameworks, into data sets and out of them.

`read_*` gives the data set of files, and `write_*` makes files of one; `from_*` gives the data set of another
framework's networks; `to_*(network, weights)` gives one network as a module of another framework, and `into_equinox`
puts weights into a module of your own. Files are read as arrays alone: nothing that they hold is run, and what they
would unpack to is checked before.
"""

from wsjax.data.formats.cnn_park import read_cnn_park
from wsjax.data.formats.cnn_zoo import read_cnn_zoo
from wsjax.data.formats.convert import FORMATS, convert
from wsjax.data.formats.dws import read_dws
from wsjax.data.formats.fit_a_nef import read_fit_a_nef
from wsjax.data.formats.hsg import read_hsg_zoo
from wsjax.data.formats.modules import to_equinox, to_flax, to_torch
from wsjax.data.formats.nfn import read_nfn_sirens
from wsjax.data.formats.pytrees import array_dict, from_equinox, from_flax, into_equinox
from wsjax.data.formats.stacked import read_arrays, write_arrays
from wsjax.data.formats.state_dicts import read_state_dicts, write_state_dicts

__all__ = [
    "FORMATS",
    "array_dict",
    "convert",
    "from_equinox",
    "from_flax",
    "into_equinox",
    "read_arrays",
    "read_cnn_park",
    "read_cnn_zoo",
    "read_dws",
    "read_fit_a_nef",
    "read_hsg_zoo",
    "read_nfn_sirens",
    "read_state_dicts",
    "to_equinox",
    "to_flax",
    "to_torch",
    "write_arrays",
    "write_state_dicts",
]


def __dir__() -> list[str]:
    return __all__
