"""Re-runs any result, and checks evidence offline by code that shares nothing with the law's."""
