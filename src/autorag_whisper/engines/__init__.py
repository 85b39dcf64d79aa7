"""Adapters: each keeps the promises of `engines.base` over one runtime, which it imports when it loads."""
