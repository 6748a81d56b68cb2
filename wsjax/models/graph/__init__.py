"""A network as a graph, and the layers of readers over it."""
