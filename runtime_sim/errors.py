"""The one exception for input that h3c cannot take."""

from xdsl.utils.exceptions import PassFailedException


class InputError(PassFailedException):
    """Bad input: its text is the one line that the user sees (file or node, expectation, value).

    It derives from xDSL's own exception, so that a stock `xdsl-opt` reports it as a failed pass.
    """
