"""Who is in memory, and on which device."""
