"""One GPU, several tenants: who computes next (`core`), within a process (`threads`) and across them (`processes`)."""
