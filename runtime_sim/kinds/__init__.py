"""The kinds of tier, one class each."""
