"""The markets: pure prices, codecs and proofs, one room each."""
