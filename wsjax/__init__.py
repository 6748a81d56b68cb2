"""wsjax: learning on the weights of neural networks, in JAX.

wsjax.symmetry   what may be done to weights without changing the function
wsjax.networks   the small networks whose weights are the data
wsjax.augment    augmentations of weights
wsjax.models     readers: networks that take another network's weights as input
wsjax.data       images in, fitted weight data sets out
wsjax.train      train a reader, several runs at once
wsjax.viz        figures of all of it
"""

from importlib.metadata import version as _version

__version__ = _version("wsjax")
