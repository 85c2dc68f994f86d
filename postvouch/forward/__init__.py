"""What leaves to addresses outside, and what comes back from there: private bounces, outcome, gate."""
