"""The devnet: one anvil behind a durable journal. One operator, no consensus.

Every signed transaction is on disk before the engine sees it, and block times are recorded, so a
crash loses nothing that was acknowledged. What a restart cannot reproduce are block hashes made
since the last dump: to readers a crash looks like a short reorganisation.
"""
