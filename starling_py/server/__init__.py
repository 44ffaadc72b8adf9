"""The only package that knows trio, sockets and threads; the others decide, this one runs them."""
