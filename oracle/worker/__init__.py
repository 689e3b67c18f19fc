"""The operator's worker: decides what to answer, and answers and defends it."""
