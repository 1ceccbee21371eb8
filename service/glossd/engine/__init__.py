"""The batching core: requests in, generations out, many in flight at once."""
