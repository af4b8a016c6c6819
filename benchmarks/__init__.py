"""Speed against other implementations, as ratios within one run: `python -m benchmarks`."""
