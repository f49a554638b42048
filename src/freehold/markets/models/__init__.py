"""Models as a market: epochs that rank the nodes of a subnet, recomputable by anyone."""
