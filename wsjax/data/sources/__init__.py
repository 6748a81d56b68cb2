"""What networks are fitted to: images, solids, meshes, curves, and any values at any points."""
