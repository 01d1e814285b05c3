"""What can go wrong, in words for a person.

    DermtwinError               a sentence: what, where, what to do
    ├── ImageError              bytes that are not a picture dermtwin accepts
    ├── DatasetError            a table or folder of images that cannot be used as asked
    ├── SettingsError           a setting, filter or argument outside its bounds
    ├── EncoderError            an encoder file, its card, or its use on foreign codes
    ├── CasebookError           a casebook that cannot be opened, read or written
    ├── GalleryError            a gallery's server that cannot be reached or used
    └── MissingExtraError       a verb whose packages are not installed

The command line turns each into its message and exit code 1; anything else that escapes is a bug.
"""


class DermtwinError(Exception):
    """The root: its message is a sentence that says what, where and what to do."""


class ImageError(DermtwinError):
    """Bytes that are not a picture dermtwin accepts."""


class DatasetError(DermtwinError):
    """A table or folder of images that cannot be used as asked."""


class SettingsError(DermtwinError):
    """A setting, filter or argument outside its bounds."""


class EncoderError(DermtwinError):
    """An encoder file, its card, or its use on foreign codes."""


class CasebookError(DermtwinError):
    """A casebook that cannot be opened, read or written."""


class GalleryError(DermtwinError):
    """A gallery's server that cannot be reached or used."""


class MissingExtraError(DermtwinError):
    """A verb whose packages are not installed."""

    def __init__(self, what: str, *, extra: str) -> None:
        super().__init__(f"{what} needs more packages; run: pip install 'dermtwin[{extra}]'")
