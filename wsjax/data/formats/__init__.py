"""Public weight data sets, and files of other frameworks, into the one store and out of it.

Files are read as arrays alone: nothing that they hold is run, and what they would unpack to is checked before.
"""

from wsjax.data.formats.cnn_park import read_cnn_park as read_cnn_park
from wsjax.data.formats.cnn_symmetry import cnn_symmetry as cnn_symmetry
from wsjax.data.formats.cnn_zoo import read_cnn_zoo as read_cnn_zoo
from wsjax.data.formats.contents import Contents as Contents
from wsjax.data.formats.contents import read_contents as read_contents
from wsjax.data.formats.convert import EXPORTS as EXPORTS
from wsjax.data.formats.convert import FORMATS as FORMATS
from wsjax.data.formats.convert import convert as convert
from wsjax.data.formats.dws import read_dws_fashion as read_dws_fashion
from wsjax.data.formats.dws import read_dws_mnist as read_dws_mnist
from wsjax.data.formats.dws import read_dws_multiview as read_dws_multiview
from wsjax.data.formats.export import write_state_dicts as write_state_dicts
from wsjax.data.formats.fit_a_nef import FitANefSet as FitANefSet
from wsjax.data.formats.fit_a_nef import read_fit_a_nef as read_fit_a_nef
from wsjax.data.formats.hsg import read_hsg_zoo as read_hsg_zoo
from wsjax.data.formats.modules import as_equinox as as_equinox
from wsjax.data.formats.modules import as_flax as as_flax
from wsjax.data.formats.nfn import read_nfn_sirens as read_nfn_sirens
from wsjax.data.formats.pytrees import array_dict as array_dict
from wsjax.data.formats.pytrees import from_equinox as from_equinox
from wsjax.data.formats.pytrees import from_flax as from_flax
from wsjax.data.formats.pytrees import to_equinox as to_equinox
from wsjax.data.formats.stacked import read_arrays as read_arrays
from wsjax.data.formats.stacked import write_arrays as write_arrays
from wsjax.data.formats.state_dicts import read_state_dicts as read_state_dicts
