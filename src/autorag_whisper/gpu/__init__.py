"""One card, several tenants: who may compute on it next, and whose memory leaves it first."""
