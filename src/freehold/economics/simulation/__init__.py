"""What a token model will do before launch: scenario, model, report. Pure and seeded."""
