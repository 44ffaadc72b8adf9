"""Queues: one FIFO with its rules, those who wait for it, and the collection of all by name.

Everything here is synchronous and knows neither protocols nor sockets; files are reached
through ``starling_py.journal`` alone.
"""
