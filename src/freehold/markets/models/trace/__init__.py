"""What an epoch commits to: every leaf follows from leaves before it, so that one false leaf is
enough to disprove a root, and the first false one can always be shown."""
