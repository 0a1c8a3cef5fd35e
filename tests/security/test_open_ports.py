"""Who can reach what a run on this machine opens: Ray runs what reaches its ports."""

import ipaddress

import psutil
import pytest
import ray

import pipeline
from cluster.local import ray_session

pytestmark = pytest.mark.ray
assert pipeline.__doc__  # its import says where Ray listens


def test_a_session_on_this_machine_listens_to_nobody_else():
    with ray_session(200, 1):
        ray.get(ray.remote(lambda: None).remote())  # a worker listens too
        here = psutil.Process()
        ours = {here.pid, *(child.pid for child in here.children(recursive=True))}
        listening = [each for each in psutil.net_connections("tcp") if each.status == "LISTEN" and each.pid in ours]
        addresses = {ipaddress.ip_address(each.laddr.ip) for each in listening}
    assert len(listening) > 5
    assert all((getattr(each, "ipv4_mapped", None) or each).is_loopback for each in addresses), addresses
