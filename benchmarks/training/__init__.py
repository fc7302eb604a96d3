"""Training: quality after equal time beside published baselines, and speed."""
