"""
Passing accepted sockets to other processes on the same machine: the frames, the worker's end, the balancer's end.
"""
