"""One operation each; steps know nothing of caching."""
