"""What a line of the validation table says: a published figure beside the modelled one."""

from typing import NamedTuple


class Row(NamedTuple):
    """One figure of one chip. `published` and `modelled` are in `unit`; `source` says where the published one is from,
    `note` what was chosen for it, or why the two differ; `calibrated` names the one constant that was set for the chip,
    if it was."""

    chip: str
    figure: str
    unit: str
    published: float
    modelled: float
    source: str
    note: str = ""
    calibrated: str = ""

    @property
    def error(self) -> float:
        """modelled / published - 1."""
        return self.modelled / self.published - 1
