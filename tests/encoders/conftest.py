from tiny_encoder import make_encoder, model

__all__ = ["make_encoder", "model"]
