"""The small networks whose weights are the data: init(key) and apply(weights, x) for one network."""

from wsjax.networks.cnn import CNN
from wsjax.networks.grid import grid
from wsjax.networks.mlp import mlp_apply, mlp_init
from wsjax.networks.network import Network
from wsjax.networks.siren import siren_apply, siren_init

__all__ = ["CNN", "Network", "grid", "mlp_apply", "mlp_init", "siren_apply", "siren_init"]


def __dir__() -> list[str]:
    return __all__
