"""What a network's token does: schedules, splits, rewards and simulation, computed only."""
