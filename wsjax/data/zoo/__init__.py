"""Thousands of small classifiers fitted to images, each with settings of its own."""
