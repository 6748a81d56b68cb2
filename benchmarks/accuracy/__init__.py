"""`python -m benchmarks accuracy`: how well readers read, with every choice made on validation."""
