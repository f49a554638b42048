"""The one door to the chain: contracts, signing, reading, events, and the devnet."""
