"""Readers: Equinox modules that take one network's weights and are equivariant or invariant to its Symmetry."""

from wsjax.models.build import CONFIGS as CONFIGS
from wsjax.models.build import build as build
from wsjax.models.build import config_of as config_of
from wsjax.models.build import trainable as trainable
from wsjax.models.dws import DWS as DWS
from wsjax.models.dws import DWSConfig as DWSConfig
from wsjax.models.equivariant import EquivariantLinear as EquivariantLinear
from wsjax.models.equivariant import features as features
from wsjax.models.equivariant import invariant as invariant
from wsjax.models.flat import FlatConfig as FlatConfig
from wsjax.models.flat import FlatMLP as FlatMLP
from wsjax.models.normalise import Normaliser as Normaliser
from wsjax.models.normalise import normaliser as normaliser
from wsjax.models.probe import Probe as Probe
from wsjax.models.probe import ProbeConfig as ProbeConfig
