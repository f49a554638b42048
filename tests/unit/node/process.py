"""A node process over the chain in memory: ``python -m unit.node.process HOME``.

It serves HTTPS as the daemon does, until it is killed or told to stop.
"""

from __future__ import annotations

import sys
from pathlib import Path

from freehold.domain.clock import SystemClock
from freehold.node import logs
from freehold.node.daemon import serve
from unit.node.world import NODE, FakeChain, network, settings

if __name__ == "__main__":
    logs.setup("warning")
    net = network()
    clock = SystemClock()
    chain = FakeChain(net, clock)
    made = settings(Path(sys.argv[1]), capacity=2**40)
    serve(made, net, NODE, chain=chain, clock=clock)
