"""A client with the methods of Ruby's Starling class, for old code that is ported to Python.

``Starling`` is for threads, ``AsyncStarling`` for trio. Items are spread over several servers: each
call goes to one of them, picked at random, and one that fails is left alone for some time. So the
order holds within each server only, as it always did. Servers of one group (docs/cluster.md) may
stand in the list together: the owner is found, and waited for while there is none. Bytes are stored
as they are; any other value is stored as JSON, which every language reads. Needs pymemcache, which
the extra ``client`` installs.

Where the Ruby class did harm, these do better: a put that no server accepted is an error, a
deletion reaches every server instead of some picked at random, a flush never waits, and a blocking
get waits at the server instead of asking every quarter of a second.
"""

from starling_py.client.async_starling import AsyncStarling
from starling_py.client.queue_commands import Consumer, QueueItem
from starling_py.client.servers import StarlingError
from starling_py.client.starling import Starling

__all__ = ["AsyncStarling", "Consumer", "QueueItem", "Starling", "StarlingError"]
