"""Benchmarks of wsjax: `python -m benchmarks SUITE [--json PATH] [--quick]`. README.md says how they measure."""
