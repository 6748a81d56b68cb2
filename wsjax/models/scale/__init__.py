"""Layers that are equivariant to signs and positive scales of neurons."""
