"""What people are shown of runs."""
