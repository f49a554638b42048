"""What the network knows about itself: readings in, signed, checked, cleaned and scored."""
