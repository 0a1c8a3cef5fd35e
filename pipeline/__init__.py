"""How it flows: phases on Ray, the work ledger, the planner, the command line. Imports everything below it."""

import os

# Read once, when ray is imported. A thread of a lost session would start Ray anew behind the back of the next one.
os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")

# Read then too. Ray runs what reaches its ports, and they are open to every network of this machine unless its
# processes know each other by the loopback address, as they do where "clusters" are off: a session here needs none.
if not os.environ.get("RAY_ADDRESS"):
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
