"""A device's agent: it reads sensors, signs, buffers, sends, and acts on what the chain commands.

It runs on a small machine for years, so it imports nothing heavy: no numpy, pydantic, web3, HTTP
framework or ABI library. ``agent`` wires what the other files make.
"""
