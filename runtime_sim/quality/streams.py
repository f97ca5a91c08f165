"""Random numbers by purpose: every draw of a simulation has a place, and its stream depends on that place alone."""

import struct
from dataclasses import dataclass

import numpy as np

PROGRAM, READ, GAIN, VECTORS, TRIM = range(5)
"""Writing weights; reading them at an age; one-hot reads for a gain; vectors of the data; those of the trim inputs."""


@dataclass(frozen=True)
class Streams:
    """The streams of one part of a plan, the `part`-th of its products, under `seed`."""

    seed: int
    part: int

    def of(self, realisation: int, purpose: int, *place: int) -> np.random.Generator:
        """SFC64, numpy's fastest generator of float32 normals, seeded by the whole place."""
        sequence = np.random.SeedSequence([self.seed, self.part, realisation, purpose, *place])
        return np.random.Generator(np.random.SFC64(sequence))


def age_key(age_s: float) -> int:
    """An age as a whole number that no other age has."""
    return int.from_bytes(struct.pack("<d", age_s), "little")
