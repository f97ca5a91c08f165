"""What a plan costs and what it computes."""
