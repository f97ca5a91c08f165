"""What circuits cost: energy, area and time of the parts that tiers are built from, as functions of numpy arrays."""
