"""One typed reader and writer per contract, names as in the ABI."""
