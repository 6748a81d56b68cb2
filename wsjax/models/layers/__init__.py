"""Parts of readers: equivariant maps, attention, norms, features of weights, and their first values."""
