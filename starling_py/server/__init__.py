"""The only place that knows trio, sockets and threads: it runs what the other packages decide."""
