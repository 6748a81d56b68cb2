"""Benchmarks of wsjax: `python -m benchmarks SUITE [--json PATH] [--quick]`. How they measure is in README.md."""
