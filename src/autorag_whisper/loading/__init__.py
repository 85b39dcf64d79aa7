"""What is made of a model once and then kept: faster weights, alignment heads, classifiers of letters."""
