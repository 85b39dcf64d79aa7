"""LLM servers that share a card with this package: how each is asked to leave it, and how one knows that it did."""
