"""(pure) The texts that tokens add one after another, when characters lie across several."""

import codecs

_decoder = codecs.getincrementaldecoder("utf-8")


class Increments:
    """Holds back what is half a character until the rest of it comes."""

    def __init__(self) -> None:
        self._decoder = _decoder(errors="replace")

    def add(self, text: bytes, *, last: bool = False) -> str:
        """What a token makes whole."""
        return self._decoder.decode(text, final=last)
