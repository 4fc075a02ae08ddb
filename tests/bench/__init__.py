"""Speed and memory against references measured in the same run: `python -m tests.bench [--quick] [--only NAME]`."""
