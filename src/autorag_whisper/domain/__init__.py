"""The nouns: frozen values that check themselves at birth. Standard library and numpy only."""
