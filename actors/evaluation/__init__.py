"""Evaluation by the service: greedy answers, the scores of a run while it trains, and a benchmark on its own."""
