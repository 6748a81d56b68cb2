"""Strengths of augmentations that the tests of ours and of the benchmarks' PyTorch side share."""

from wsjax.augment import CATALOGUE

NOTHING = {name: entry.nothing for name, entry in CATALOGUE.items() if entry.nothing}
"""Settings at which an augmentation says that it is the identity, and must be, to the bit."""
