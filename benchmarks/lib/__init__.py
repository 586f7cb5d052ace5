"""What several benchmarks share: timing, processes, servers, load, browsers, corpora, peers."""
