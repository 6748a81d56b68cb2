"""Thousands of small classifiers fitted to images, each with settings of its own."""

from wsjax.data.zoo.recipe import zoo_network

__all__ = ["zoo_network"]
