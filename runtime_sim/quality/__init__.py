"""Plans under noise: realisations of a chip's devices, what outputs lose by them, and how sure that is."""
