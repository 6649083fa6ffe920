"""How the shipped weights are made; run by `./dev train`, never installed."""
