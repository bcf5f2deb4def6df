"""
What every process that serves has, whatever it serves: settings, ports, a control socket, files that are read again.
"""
