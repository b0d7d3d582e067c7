"""DashScope (Alibaba Model Studio, Qwen Cloud): bodies, answers and errors of its API.

Pure: a request becomes a call, an answer becomes a task.
"""
