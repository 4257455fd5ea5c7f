"""Benchmarks: what things cost, as ratios measured side by side in one run. README.md has the figures."""
