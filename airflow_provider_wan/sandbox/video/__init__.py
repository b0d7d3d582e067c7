"""Result videos: how large they are, how they look, and the process that encodes them.

In comes a finished task; out comes the path of an MP4. No answer waits here, only a download does.
"""
