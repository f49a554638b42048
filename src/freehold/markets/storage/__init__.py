"""Storage as a market: sealed objects, their columns, pieces and proofs."""
