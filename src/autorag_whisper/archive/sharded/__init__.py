"""Archives that are too large for one command: a plan, cut into shards, recognised by any number of processes.

1. `sharded.planning.make_plan` makes a plan of what `sharded.listing` finds: each recording once, with its shard.
   A plan is a file (`sharded.plan_file`), JSON lines or Parquet; it is the truth about what is to be done.
2. `sharded.running.ShardedRun` recognises shards on any transcriber. Results go to a folder of the model and options
   (`sharded.results`), a few recordings at a time, in files that are never changed (`sharded.parts`). What is done is
   what these files say: whoever comes next does the rest. A recording that fails is a result with its error.
3. `sharded.status` counts and makes a plan of what failed, and `sharded.merging` writes tables,
   JSON lines, or files in the usual formats.

Recognition happens at least once: two processes that do the same shard give the same results, and each recording is
counted once. Nothing here knows a scheduler; `sharded.on_ray` alone knows Ray.
"""
