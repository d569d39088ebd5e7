"""The four steps of the throughput document: what each deploys, and what it could reach."""
