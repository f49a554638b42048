"""Values and rules that every other room shares; it knows no other room and does no I/O."""
