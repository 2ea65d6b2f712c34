"""How results are judged: metrics, intervals, checks, projections, the scikit-learn peer, and figures."""
