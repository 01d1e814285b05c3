"""What the casebook's tests start from."""

from small_fixtures import dataset, encoder, encoder_file

__all__ = ["dataset", "encoder", "encoder_file"]
