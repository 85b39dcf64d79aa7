"""Durable jobs: what was asked for is done once, whatever dies meanwhile.

`job` the nouns · `store` what a `JobStore` promises · `memory`, `sqlite` and `postgres` three of them, under one
contract suite · `runner` takes jobs from a store and has them transcribed.
"""
