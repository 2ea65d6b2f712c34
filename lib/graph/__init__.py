"""A profile's graph at work: what nodes are given, how one runs, what a run would do, its summary, and doing it again.

It walks the graph and knows no study by name.
"""

from lib.graph.check import check_graph, check_settings
from lib.graph.inputs import ReadyNode, ready_node
from lib.graph.leaderboard import leaderboard
from lib.graph.plan import NodePlan, RunPlan, plan_run
from lib.graph.reproduce import PastRun, Verdict, past_run, reproduce
from lib.graph.summary import RunResult, studies_of, summarise

__all__ = [
    "NodePlan",
    "PastRun",
    "ReadyNode",
    "RunPlan",
    "RunResult",
    "Verdict",
    "check_graph",
    "check_settings",
    "leaderboard",
    "past_run",
    "plan_run",
    "ready_node",
    "reproduce",
    "studies_of",
    "summarise",
]
