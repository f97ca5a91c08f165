"""The solver behind place-parts: it knows numbers, not IR."""
