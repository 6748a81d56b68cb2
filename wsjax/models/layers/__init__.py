"""Parts of readers: equivariant maps, attention, norms, features of weights, and initial values."""
