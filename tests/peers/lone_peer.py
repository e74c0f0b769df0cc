"""A peer in a process of its own, to be killed or frozen.

Arguments: the port of server "a". Prints the port of this server "b", then runs until it is ended.
"""

from __future__ import annotations

import asyncio
import sys

from tests.peers.kit import CLUSTER_ID, PeerNode, a_member, answer_with_heard


async def main(other_port: int) -> None:
    """Serve for ever."""
    node = PeerNode("b")
    answer_with_heard(node)
    await node.start()
    node.peers.health.set_serving(True)
    node.peers.set_members([a_member("a", other_port), node.member], CLUSTER_ID)
    sys.stdout.write(f"{node.port}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
