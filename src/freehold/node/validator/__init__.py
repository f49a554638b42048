"""The daemon of a staked validator: it asks the models of a subnet, scores them, commits to weights
and reveals them."""
