"""Thousands of small classifiers fitted to images, each with settings of its own."""

from wsjax.data.zoo.recipe import OPTIMIZERS, ZooRecipe, zoo_network

__all__ = ["OPTIMIZERS", "ZooRecipe", "zoo_network"]
