"""Readings on disk: partitioned Parquet that DuckDB reads, and a manifest of what counts."""
