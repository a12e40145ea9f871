"""What a request costs, side by side with other clients. `python -m benchmarks` runs it; README.md has the last figures."""
