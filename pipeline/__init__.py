"""How it flows: Ray Data graphs, the work ledger, retry, the command line."""
