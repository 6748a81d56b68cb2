"""The contestants in PyTorch."""
