"""LangGraph with its SQLite checkpointer, as durable as it gets: the baseline of `cargo bench -p wheelhouse-engine`.

Usage: langgraph_sqlite.py TASKS DIRECTORY
Needs `pip install langgraph langgraph-checkpoint-sqlite`. One graph: a fan-out of no-op tasks and a fan-in, with
durability="sync" and PRAGMA synchronous=FULL, so that both sides promise the same. Prints tasks per second.
"""

import operator
import os
import sqlite3
import sys
import time
from typing import Annotated, TypedDict

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send


class State(TypedDict):
    done: Annotated[int, operator.add]


def main() -> None:
    tasks, directory = int(sys.argv[1]), sys.argv[2]
    connection = sqlite3.connect(os.path.join(directory, "langgraph.db"), check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    graph = StateGraph(State)
    graph.add_node("task", lambda state: {"done": 1})
    graph.add_node("join", lambda state: {"done": 0})
    graph.add_conditional_edges(START, lambda state: [Send("task", {}) for _ in range(tasks)], ["task"])
    graph.add_edge("task", "join")
    graph.add_edge("join", END)
    app = graph.compile(checkpointer=SqliteSaver(connection))
    config = {"configurable": {"thread_id": "bench"}, "recursion_limit": 100, "max_concurrency": 64}
    begun = time.perf_counter()
    result = app.invoke({"done": 0}, config, durability="sync")
    took = time.perf_counter() - begun
    assert result["done"] == tasks, result
    print(f"{tasks / took:.0f}")


main()
