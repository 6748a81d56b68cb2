"""Public weight data sets, and files and modules of other frameworks, into data sets and out of them.

`read_*` gives the data set of files, and `write_*` makes files of one; `from_*` gives the data set of another
framework's networks; `to_*(network, weights)` gives one network as a module of another framework, and `into_equinox`
puts weights into a module of your own. Files are read as arrays alone: nothing that they hold is run, and what they
would unpack to is checked before.
"""

from wsjax.data.formats.cnn_park import read_cnn_park
from wsjax.data.formats.cnn_symmetry import cnn_symmetry
from wsjax.data.formats.cnn_zoo import read_cnn_zoo
from wsjax.data.formats.contents import Contents, read_contents
from wsjax.data.formats.convert import EXPORTS, FORMATS, convert
from wsjax.data.formats.dws import read_dws_fashion, read_dws_mnist, read_dws_multiview
from wsjax.data.formats.export import write_state_dicts
from wsjax.data.formats.fit_a_nef import FitANefSet, read_fit_a_nef
from wsjax.data.formats.hsg import read_hsg_zoo
from wsjax.data.formats.modules import to_equinox, to_flax
from wsjax.data.formats.nfn import read_nfn_sirens
from wsjax.data.formats.pytrees import array_dict, from_equinox, from_flax, into_equinox
from wsjax.data.formats.stacked import read_arrays, write_arrays
from wsjax.data.formats.state_dicts import read_state_dicts
from wsjax.data.formats.torch_module import to_torch

__all__ = [
    "EXPORTS",
    "FORMATS",
    "Contents",
    "FitANefSet",
    "array_dict",
    "cnn_symmetry",
    "convert",
    "from_equinox",
    "from_flax",
    "into_equinox",
    "read_arrays",
    "read_cnn_park",
    "read_cnn_zoo",
    "read_contents",
    "read_dws_fashion",
    "read_dws_mnist",
    "read_dws_multiview",
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
