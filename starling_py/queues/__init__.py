"""Queues: one FIFO with its rules, the clients that wait for it, and all queues by name.

Everything here is synchronous and knows neither protocols nor sockets nor threads; files are
reached only through ``starling_py.journal``.
"""
