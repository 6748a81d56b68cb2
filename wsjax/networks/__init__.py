"""The small networks whose weights are the data: init(key) and apply(weights, x) for one network."""

from wsjax.networks.cnn import CNN as CNN
from wsjax.networks.cnn import ConvNet as ConvNet
from wsjax.networks.grid import grid as grid
from wsjax.networks.mlp import ACTIVATIONS as ACTIVATIONS
from wsjax.networks.mlp import mlp_apply as mlp_apply
from wsjax.networks.mlp import mlp_init as mlp_init
from wsjax.networks.network import Network as Network
from wsjax.networks.sine import sine as sine
from wsjax.networks.siren import siren_apply as siren_apply
from wsjax.networks.siren import siren_init as siren_init
