"""Loading: from a name to a model in memory, and what is made of a model once and then kept.

Kept are faster weights, alignment heads, a small vocabulary, classifiers of letters.
"""
