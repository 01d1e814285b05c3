"""What the casebook's tests start from."""

from small_fixtures import dataset, encoder, encoder_file, place, postgres, postgres_url

__all__ = ["dataset", "encoder", "encoder_file", "place", "postgres", "postgres_url"]
