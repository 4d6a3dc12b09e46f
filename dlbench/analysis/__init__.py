"""What documents say: frames, comparisons, checks. Never measures."""
