"""Cutting a program into segments for chips whose arrays compute or remember: the solver, which knows no IR."""
