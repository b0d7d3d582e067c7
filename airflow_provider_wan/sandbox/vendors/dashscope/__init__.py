"""DashScope (Alibaba Cloud Model Studio): ``/api/v1/…``."""
