"""The log on more than one machine: operations on files, sent to one stream and applied elsewhere.

The owner's file calls become operations (``shipped_files``), a batch of which is one message
(``outbox``); a sync is the stream's answer. A follower applies them (``follower``). Who is the
owner the stream alone decides (``owner``, ``following``). Only ``nats_stream`` knows NATS, and only
``link`` has a thread. Nothing here knows queues, sessions or sockets of clients.
"""
