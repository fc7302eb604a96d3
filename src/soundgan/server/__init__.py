"""The web API: a FastAPI app around the player, without PyTorch."""

PORT = 5050  # of the classic server; it stands here, where it costs no import
