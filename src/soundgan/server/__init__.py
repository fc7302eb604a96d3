"""The web API: a FastAPI app around the player, without PyTorch."""
