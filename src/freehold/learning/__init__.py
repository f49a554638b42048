"""What the network learns from its own readings, as calculation: no clock, no disk, no chance."""
