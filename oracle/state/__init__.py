"""What survives a crash: events read, duties owed, transactions sent."""
