"""What analog tiers do wrong: device noise, drift, converters, wires; one module a technology, constants in data/."""
