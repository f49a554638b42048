"""The watcher: probes, re-checks, records faults and repairs, and is paid for it."""
