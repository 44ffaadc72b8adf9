"""One append-only journal per queue: records, segments, recovery, group commit.

The journal knows nothing of queue rules, protocols or trio. Replaying any prefix of a journal gives
the state after some prefix of the operations that were written to it.
"""
