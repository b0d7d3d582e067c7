"""What every call passes: key, limits and ordered faults before a vendor's handler; lost and broken answers after.

In come HTTP requests; out go answers in the vendor's shape, files of the result host, webhooks, and the replies of
``/sandbox/…``. It keeps no task: the state is in ``world``. It never knows one vendor from another.
"""
