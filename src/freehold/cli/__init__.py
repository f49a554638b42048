"""The command line: one file a noun, heavy imports only inside the commands that need them."""
