"""The public reserve page, the API and the metrics. Reads published views with a read-only role; writes none."""
