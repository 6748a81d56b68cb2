"""The PyTorch side of the suites in `benchmarks.speed`."""
