"""The daemon that a machine's owner runs: it stores, proves, serves and gets paid."""
