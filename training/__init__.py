"""Training of the shipped weights; run by `./dev train`, not installed."""
