"""The chips that ship with h3c, and how a chip file becomes IR."""
