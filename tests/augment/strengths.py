"""Settings of augmentations that the tests of ours and of the benchmarks' PyTorch side share."""

from wsjax.augment import CATALOGUE

NOTHING = {name: entry.identity for name, entry in CATALOGUE.items() if entry.identity}
"""Settings at which an augmentation is declared the identity, and must be, to the bit."""
