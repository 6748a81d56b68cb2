"""`python -m benchmarks accuracy`: the test accuracy of readers, with every choice made on validation."""
