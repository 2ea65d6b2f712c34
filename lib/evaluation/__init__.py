"""How results are judged: measures, baselines, intervals, checks and projections."""
