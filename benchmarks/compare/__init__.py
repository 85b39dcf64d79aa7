"""Ours and its peers over the same recordings: speed, processor time, memory, errors. `python -m benchmarks.compare`.

```
recordings -> sets -> one process for each (engine, set, repetition), interleaved -> counts of errors -> result.json
(manifests)                  (launch -> worker -> engines)                            (scoring)            |
                                                                 tables (Markdown), plots (PNG) <- summary (groups)
```

`worker`, `engines` and `job` also run in the peers' own environments: they import nothing of ours at the top.
"""
