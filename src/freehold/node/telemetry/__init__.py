"""The telemetry service: readings in, rows, findings and pay out."""
