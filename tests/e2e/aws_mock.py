"""A stand-in for the AWS API on an address of a lab: moto, a mock that keeps instances and load balancers in memory."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

REGION, ZONE, TYPE = "eu-central-1", "eu-central-1b", "m5.large"
KEY_ID, SECRET_KEY = "AKIATESTTESTTESTTEST", "secret-that-must-never-show"


@dataclass(frozen=True)
class Aws:
    """The mock: where it is, and an instance for each machine."""

    url: str
    vpc: str
    subnet: str
    instances: Mapping[str, str]  # machine → instance ID

    def client(self, service: str) -> Any:
        return _client(service, self.url)

    def provider_id(self, machine: str) -> str:
        return f"aws:///{ZONE}/{self.instances[machine]}"

    def load_balancers(self) -> list[dict[str, Any]]:
        return list(self.client("elbv2").describe_load_balancers()["LoadBalancers"])


def _client(service: str, url: str) -> Any:
    return boto3.client(
        service, region_name=REGION, endpoint_url=url, aws_access_key_id=KEY_ID, aws_secret_access_key=SECRET_KEY
    )


@contextmanager
def mocked(cluster: str, network: str, address: str, machines: Mapping[str, str], log: Path) -> Iterator[Aws]:
    """Runs the mock on `address` with a VPC of that network and an instance for each machine: name → its address."""
    with socket.socket() as free:
        free.bind((address, 0))
        port = free.getsockname()[1]
    program = Path(sys.executable).parent / "moto_server"
    with (
        log.open("wb") as file,
        subprocess.Popen(
            [program, "-H", address, "-p", str(port)],
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, "MOTO_EC2_LOAD_DEFAULT_AMIS": "false"},
        ) as process,
    ):
        try:
            url = f"http://{address}:{port}"
            _await(address, port)
            yield _furnished(cluster, network, url, machines)
        finally:
            process.terminate()


def _await(address: str, port: int) -> None:
    ends = time.monotonic() + 60
    while True:
        try:
            socket.create_connection((address, port), timeout=2).close()
        except OSError:
            if time.monotonic() > ends:
                raise
            time.sleep(0.2)
        else:
            return


def _furnished(cluster: str, network: str, url: str, machines: Mapping[str, str]) -> Aws:
    ec2 = _client("ec2", url)
    tags = [{"Key": f"kubernetes.io/cluster/{cluster}", "Value": "owned"}]
    vpc = ec2.create_vpc(CidrBlock=network)["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock=network, AvailabilityZone=ZONE)["Subnet"]["SubnetId"]
    # A way out makes the subnet a public one: only those have load balancers that the world can reach.
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
    group = ec2.create_security_group(GroupName="nodes", Description="nodes", VpcId=vpc)["GroupId"]
    ec2.create_tags(Resources=[vpc, subnet, group], Tags=tags)
    image = ec2.register_image(Name="plain", Architecture="x86_64", RootDeviceName="/dev/sda1")["ImageId"]
    instances = {}
    for name, address in machines.items():
        made = ec2.run_instances(
            ImageId=image,
            MinCount=1,
            MaxCount=1,
            InstanceType=TYPE,
            SubnetId=subnet,
            PrivateIpAddress=address,
            SecurityGroupIds=[group],
            TagSpecifications=[{"ResourceType": "instance", "Tags": [*tags, {"Key": "Name", "Value": name}]}],
        )
        instances[name] = made["Instances"][0]["InstanceId"]
    return Aws(url=url, vpc=vpc, subnet=subnet, instances=instances)
