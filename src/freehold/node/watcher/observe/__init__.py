"""What a watcher sees of nodes and devices, and how it agrees on that with the others."""
