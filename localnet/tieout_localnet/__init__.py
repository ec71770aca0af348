"""A local Solana validator for development, reached only over JSON-RPC and WebSocket."""

from typing import Final

__all__ = ["__version__"]

__version__: Final = "0.1.0"
